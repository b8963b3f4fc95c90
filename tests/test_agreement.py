"""The line that agrees with what is heard is the best candidate."""

import numpy as np
import pytest

from stage2_prior.composer.agreement import UNSURE, agreement, sounds_enough
from stage2_prior.composer.features import FEATURES, ONSET, PITCH, REST, Hearing, pitch_classes
from stage2_prior.composer.grid_notes import LOWEST, PITCHES, GridNotes

POSITIONS = 48
SURE = np.log(1 - UNSURE + UNSURE / 13)
WRONG = np.log(UNSURE / 13)


def heard(pitch: int = 40) -> np.ndarray:
    """A note in the first half, and a rest in the second."""
    features = np.zeros((POSITIONS, FEATURES), np.float32)
    features[: POSITIONS // 2, PITCH.start + pitch - LOWEST] = 1
    features[POSITIONS // 2 :, REST] = 1
    return features


def line(*notes: tuple[int, int, int]) -> GridNotes:
    """Notes as onset, length and pitch."""
    onset, length, pitch = np.array(notes, np.int64).reshape(-1, 3).T
    return GridNotes(onset, length, pitch, np.full(len(onset), 4))


@pytest.mark.parametrize(
    ("notes", "right"),
    [
        (line((0, 24, 40)), 1.0),
        (line((0, 24, 52)), 1.0),  # octaves are not told apart
        (line((0, 12, 40), (12, 12, 40)), 1.0),
        (line((0, 24, 41)), 0.5),
        (line(), 0.5),
        (line((0, 48, 40)), 0.5),
        (line((0, 12, 40)), 0.75),
        (line((24, 24, 40)), 0.0),
    ],
)
def test_each_position_counts(notes: GridNotes, right: float) -> None:
    assert agreement(notes, heard()) == pytest.approx(right * SURE + (1 - right) * WRONG)


def test_positions_outside_the_song_do_not_count() -> None:
    features = np.concatenate((heard(), np.zeros((24, FEATURES), np.float32)))
    assert agreement(line((0, 24, 40), (48, 24, 30)), features) == pytest.approx(SURE)
    assert agreement(line(), np.zeros((12, FEATURES), np.float32)) == 0


@pytest.mark.parametrize(
    ("notes", "enough"),
    [
        (line((0, 12, 40)), True),  # a note is heard in 24 positions
        (line((30, 12, 45)), True),
        (line((0, 6, 40), (6, 5, 40)), False),
        (line(), False),
    ],
)
def test_a_line_must_sound_for_half_of_what_is_heard(notes: GridNotes, enough: bool) -> None:
    features = np.concatenate((heard(), np.zeros((24, FEATURES), np.float32)))
    assert sounds_enough(notes, features) == enough


def test_silence_is_enough_where_only_rests_are_heard() -> None:
    features = heard()
    features[:, REST] = 1
    assert sounds_enough(line(), features)


def test_pitch_classes_add_up_octaves() -> None:
    features = np.random.default_rng(0).random((3, FEATURES)).astype(np.float32)
    expected = np.zeros((3, 12))
    for index in range(PITCHES):
        expected[:, (LOWEST + index) % 12] += features[:, PITCH.start + index]
    assert pitch_classes(features) == pytest.approx(expected)


def test_fewer_rests() -> None:
    features = heard()
    features[:, REST] = 0.5
    features[:, PITCH] /= 2
    features[:, ONSET] = 0.1
    fewer = Hearing(features, np.zeros((POSITIONS, 2), np.float32), 43.0).with_fewer_rests(1.0)
    rest = fewer.features[:, REST]
    assert rest == pytest.approx(1 / (1 + np.e))
    assert fewer.features[:24, PITCH].sum(1) == pytest.approx(1 - rest[:24], rel=1e-5)
    assert fewer.features[:, ONSET] == pytest.approx(0.2 * (1 - rest), rel=1e-5)
    assert features[0, REST] == 0.5
