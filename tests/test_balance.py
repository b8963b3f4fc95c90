"""The level of a line beside its song."""

import numpy as np
import numpy.typing as npt
import pytest

from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sound.levels import TARGET_RMS
from stage2_prior.balance import BalanceRange, balance_gain

SONG_GAIN = 4.0
RANGE = BalanceRange(softest_db=-5.0, loudest_db=-1.0)
NOTES = np.array([NoteVocabulary.sustain(40)] * 30 + [NoteVocabulary.REST] * 10)


def line(decibels: float) -> npt.NDArray[np.float32]:
    """A line that sounds in three quarters of the time, at a level relative to its song."""
    level = TARGET_RMS / SONG_GAIN * 10 ** (decibels / 20)
    return np.pad(np.full((2, 300), level, np.float32), ((0, 0), (0, 100)))


@pytest.mark.parametrize(
    ("decibels", "expected"), [(-20, -5), (-5, -5), (-4, -4), (-2, -2), (-1, -1), (6, -1)]
)
def test_a_line_comes_into_the_range_while_it_sounds(decibels: float, expected: float) -> None:
    gain = balance_gain(line(decibels), NOTES, SONG_GAIN, RANGE)
    assert decibels + 20 * np.log10(gain) == pytest.approx(expected, abs=1e-4)


def test_silence_stays_silent() -> None:
    assert balance_gain(np.zeros((2, 400), np.float32), NOTES, SONG_GAIN, RANGE) == 1
    assert balance_gain(line(-3), np.zeros(40, int), SONG_GAIN, RANGE) == 1


@pytest.mark.parametrize(("softest", "loudest"), [(-2, -3), (-61, 0), (0, 61), (float("nan"), 0)])
def test_a_range_that_makes_no_sense(softest: float, loudest: float) -> None:
    with pytest.raises(UserError, match="the balance ranges from"):
        BalanceRange(softest, loudest)
