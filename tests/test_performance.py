"""A phrase that sounds like other notes is played again, and the rest of the line stays."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.music.notes import Note, notes_to_tokens
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.performance import TRIES, Listening, Performance, Score, play_line
from stage2_prior.performer.network import Performer
from stage2_prior.performer.sampling import FREE, perform
from stage2_prior.sampling_defaults import SamplingDefaults
from tests.toy_songs import FORMAT

RATE, FRAME_RATE, FRAMES = 44_100, FORMAT.frame_rate, 387  # 9 s: three phrases
NOTES = [Note(0.5 * i, 0.4, 40 + i % 5) for i in range(18)]
TOKENS = notes_to_tokens(NOTES, FRAMES, FRAME_RATE)
SETTINGS = SamplingDefaults(note_guidance=1.0)


@pytest.fixture(scope="module")
def performer() -> Performer:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny").model.performer
    return Performer(config, FORMAT).eval().requires_grad_(False)


def score(fixed: np.ndarray | None = None) -> Score:
    free = np.full((8, FRAMES), FREE) if fixed is None else fixed
    return Score(TOKENS, np.full(FRAMES, 5), free)


def sound(wrong: tuple[float, float] | None) -> np.ndarray:
    """The line as sines, a semitone too high between two times."""
    audio = np.zeros(round(FRAMES / FRAME_RATE * RATE), np.float32)
    for note in NOTES:
        off = wrong is not None and wrong[0] <= note.onset < wrong[1]
        t = np.arange(round(note.duration * RATE)) / RATE
        start = round(note.onset * RATE)
        wave = np.sin(2 * np.pi * 440 * 2 ** ((note.pitch + off - 69) / 12) * t)
        audio[start : start + len(t)] = wave[: len(audio) - start]
    return np.stack((audio, audio))


def played(
    performer: Performer, *wrong: tuple[float, float] | None, fixed: np.ndarray | None = None
) -> Performance:
    """Play the line where each try sounds wrong between two times; the last one repeats."""

    def sounds() -> Iterator[np.ndarray]:
        for each in wrong:
            yield sound(each)
        while True:
            yield sound(wrong[-1])

    tries = sounds()
    listening = Listening(lambda codes: next(tries), RATE)
    return play_line(performer, score(fixed), SETTINGS, 3, listening)


def once(performer: Performer) -> np.ndarray:
    return perform(performer, TOKENS, SETTINGS, loudness=np.full(FRAMES, 5), seed=3)


def test_without_a_listener_each_phrase_is_played_once(performer: Performer) -> None:
    line = play_line(performer, score(), SETTINGS, 3)
    assert np.array_equal(line.codes, once(performer))
    assert line.checked is None


def test_a_line_that_sounds_right_stays_as_it_is(performer: Performer) -> None:
    line = played(performer, None)
    assert np.array_equal(line.codes, once(performer))
    assert line.checked is not None
    assert (line.checked.phrases, line.checked.repeats, line.checked.failed) == (3, 0, 0)
    assert line.checked.right_share == 1


def test_only_the_phrase_that_sounds_wrong_is_played_again(performer: Performer) -> None:
    line = played(performer, (3.0, 6.0), None)
    assert line.checked is not None
    assert (line.checked.repeats, line.checked.failed, line.checked.right_share) == (1, 0, 1)
    changed = np.flatnonzero((line.codes != once(performer)).any(0)) / FRAME_RATE
    assert len(changed) > 50
    assert changed.min() > 2.4
    assert changed.max() < 6.6


def test_a_try_that_sounds_no_better_is_thrown_away(performer: Performer) -> None:
    line = played(performer, (0.0, 9.0))
    assert line.checked is not None
    assert line.checked.repeats == 3 * (TRIES - 1)
    assert (line.checked.failed, line.checked.right_share) == (3, 0)
    assert np.array_equal(line.codes, once(performer))


def test_codes_that_are_given_stay_however_they_sound(performer: Performer) -> None:
    fixed = np.full((8, FRAMES), FREE)
    fixed[:, :200] = np.random.default_rng(0).integers(0, 64, (8, 200))
    line = played(performer, (0.0, 9.0), None, fixed=fixed)
    assert line.checked is not None
    assert line.checked.phrases == 2
    assert np.array_equal(line.codes[:, :200], fixed[:, :200])
