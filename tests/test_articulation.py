"""The dip before each attack of a line."""

import numpy as np
import numpy.typing as npt
import pytest

from shared.music.notes import NoteVocabulary
from stage2_prior.articulation import DIP_GAIN, articulate

RATE, HOP = 44100, 1024


def line(*attacks: int, frames: int = 40) -> npt.NDArray[np.int64]:
    """Note tokens of one pitch, which starts anew in the given frames."""
    tokens = np.full(frames, NoteVocabulary.sustain(40))
    tokens[list(attacks)] = NoteVocabulary.onset(40)
    return tokens


def test_the_line_dips_ahead_of_an_attack_and_is_back_when_the_note_begins() -> None:
    gain = articulate(np.ones((2, 40 * HOP), np.float32), line(20), RATE, HOP)
    assert np.array_equal(gain[0], gain[1])
    seconds = np.arange(40 * HOP) / RATE - 20 * HOP / RATE
    assert np.all(gain[0, (seconds < -0.046) | (seconds > 0.005)] == 1)
    dip = gain[0, (seconds > -0.0075) & (seconds < -0.0045)]
    assert dip == pytest.approx(min(DIP_GAIN))
    falling = gain[0, (seconds > -0.044) & (seconds < -0.009)]
    assert np.all(np.diff(falling) < 0)


def test_without_an_attack_nothing_changes() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 40 * HOP)).astype(np.float32)
    for notes in (line(), np.full(40, NoteVocabulary.REST), np.full(40, -1)):
        assert np.array_equal(articulate(samples, notes, RATE, HOP), samples)


def test_attacks_at_the_edges_and_close_together() -> None:
    gain = articulate(np.ones((1, 39 * HOP + 7), np.float32), line(0, 1, 39), RATE, HOP)[0]
    assert gain.shape == (39 * HOP + 7,)
    assert gain.min() == pytest.approx(min(DIP_GAIN))
    assert gain[HOP // 2] < 1  # the second dip reaches into the first note
