"""The level of a line beside its song."""

import numpy as np
import numpy.typing as npt
import pytest

from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import Samples
from stage2_prior.balance import (
    BalanceRange,
    balance_envelope,
    balance_gain,
    following,
    level_beside_song,
    song_end,
)

RATE = 2000
SECONDS = 30
RANGE = BalanceRange(softest_db=-5.0, loudest_db=-1.0)
# The line rests in the last quarter.
NOTES = np.array([NoteVocabulary.sustain(40)] * 30 + [NoteVocabulary.REST] * 10)
SOUNDING = slice(0, 22 * RATE)


def song(level: float = 0.1, seconds: float = SECONDS) -> Samples:
    """Noise `[2, N]`, the same in both channels."""
    noise = np.random.default_rng(0).normal(0, level, round(seconds * RATE))
    return np.repeat(noise[None], 2, axis=0).astype(np.float32)


def line(level_db: float, rest: float = 0.0) -> Samples:
    """A line at a level relative to `song()`, which has another level where it rests."""
    level = np.full(SECONDS * RATE, 0.1 * 10 ** (level_db / 20))
    level[round(0.75 * len(level)) :] *= rest
    return np.repeat(level[None], 2, axis=0).astype(np.float32)


def gain_db(accompaniment: Samples, level_db: float = -3.0) -> npt.NDArray[np.float64]:
    """The gain in dB over time `[N]`."""
    gain = balance_envelope(line(level_db), NOTES, accompaniment, RATE, RANGE)
    assert gain.dtype == np.float32
    return 20 * np.log10(np.maximum(gain, 1e-6), dtype=np.float64)


@pytest.mark.parametrize(
    ("level_db", "expected"), [(-20, -5), (-5, -5), (-4, -4), (-2, -2), (-1, -1), (6, -1)]
)
def test_a_line_comes_into_the_range_while_it_sounds(level_db: float, expected: float) -> None:
    np.testing.assert_allclose(level_db + gain_db(song(), level_db), expected, atol=0.2)


def test_what_sounds_in_the_rests_of_a_line_does_not_count() -> None:
    level = level_beside_song(line(-3, rest=10), NOTES, song(), RATE)
    assert level == pytest.approx(-3, abs=0.2)


def test_the_level_is_measured_where_the_song_sounds() -> None:
    accompaniment, loud = song(), line(-3)
    accompaniment[:, : 10 * RATE] = 0
    loud[:, : 8 * RATE] *= 10
    assert level_beside_song(loud, NOTES, accompaniment, RATE) == pytest.approx(-3, abs=0.2)


def test_silence_stays_silent() -> None:
    assert not balance_envelope(line(-3), NOTES, 0 * song(), RATE, RANGE).any()
    quiet = balance_envelope(0 * line(-3), NOTES, song(), RATE, RANGE)
    np.testing.assert_allclose(quiet, 1, atol=0.01)
    rests = np.zeros(40, np.int64)
    np.testing.assert_allclose(balance_envelope(line(-3), rests, song(), RATE, RANGE), 1, atol=0.01)
    assert level_beside_song(line(-3), NOTES, 0 * song(), RATE) is None
    assert level_beside_song(0 * line(-3), NOTES, song(), RATE) is None


def test_the_line_fades_out_with_the_song() -> None:
    """A linear fade over the last 6 s is followed within 3 dB, down to 25 dB below the song."""
    fade = np.clip((SECONDS - np.arange(SECONDS * RATE) / RATE) / 6, 0, 1).astype(np.float32)
    gain = gain_db(song() * fade)
    wanted = 20 * np.log10(np.maximum(fade, 1e-6))
    heard = wanted > -25
    assert np.abs(gain - gain[: 20 * RATE].mean() - wanted)[heard].max() < 3
    assert gain[-RATE // 20 :].max() < -20


def test_the_line_fades_in_with_the_song() -> None:
    fade = np.clip(np.arange(SECONDS * RATE) / RATE / 6, 0, 1).astype(np.float32)
    gain = gain_db(song() * fade)
    wanted = 20 * np.log10(np.maximum(fade, 1e-6))
    assert np.abs(gain - gain[10 * RATE :].mean() - wanted)[wanted > -20].max() < 3


@pytest.mark.parametrize("at", [0.0, 4.0, 15.3, 29.5])
def test_a_burst_changes_nothing_elsewhere(at: float) -> None:
    accompaniment = song()
    before = gain_db(accompaniment, -10)
    start = round(at * RATE)
    accompaniment[:, start : start + RATE // 2] *= 10
    change = np.abs(gain_db(accompaniment, -10) - before)
    change[max(0, start - RATE // 2) : start + RATE] = 0
    assert change.max() < 0.5


@pytest.mark.parametrize("factors", [(1, 0), (0, 1), (1, -1)])
def test_a_dead_or_inverted_channel_does_not_matter(factors: tuple[int, int]) -> None:
    accompaniment = song()
    expected = gain_db(accompaniment, -10)
    found = gain_db(accompaniment * np.array(factors, np.float32)[:, None], -10)
    np.testing.assert_allclose(found, expected, atol=0.5)


def test_the_line_does_not_vanish_in_a_break() -> None:
    accompaniment = song()
    accompaniment[:, 5 * RATE : 11 * RATE] *= 0.5
    accompaniment[:, 16 * RATE : 22 * RATE] *= 0.01
    gain = gain_db(accompaniment)
    seconds = gain[[round(at * RATE) for at in (2, 8, 13.5, 19, 25)]] - gain[2 * RATE]
    np.testing.assert_allclose(seconds, [0, 0, 0, -10, 0], atol=0.3)


def test_the_law_of_following() -> None:
    level = np.array([-50, -4, -2, 0, -5, -10, -30, 0, 5, 0, -8, -1, -20.0])
    expected = [-50, -4, 0, 0, 0, -4, -10, 0, 0, 0, -1, 0, -20]
    np.testing.assert_allclose(following(level), expected)
    np.testing.assert_allclose(following(np.array([0, 10, 10, 0.0])), [0, 4, 4, 0])


def test_the_line_ends_with_the_song() -> None:
    accompaniment = song()
    accompaniment[:, 20 * RATE :] = 0
    assert song_end(accompaniment, RATE) == pytest.approx(20, abs=0.051)
    end = round(song_end(accompaniment, RATE) * RATE)
    gain = balance_envelope(line(-3), NOTES, accompaniment, RATE, RANGE)
    assert not gain[end + round(0.05 * RATE) + 1 :].any()
    assert gain[end - RATE] > 0.5
    assert song_end(song(seconds=5.5), RATE) == 5.5


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_silent_song_ends_where_it_begins(seconds: float) -> None:
    assert song_end(np.zeros((2, round(seconds * RATE)), np.float32), RATE) == 0


@pytest.mark.parametrize("samples", [1, 50, 3000])
def test_a_line_may_be_short(samples: int) -> None:
    gain = balance_envelope(
        line(-10)[:, :samples], NOTES[:1], song()[:, :samples], RATE, BalanceRange(-3.0, -3.0)
    )
    assert gain.shape == (samples,)
    assert np.isfinite(gain).all()


@pytest.mark.parametrize(
    ("level_db", "expected"), [(-20, -5), (-5, -5), (-4, -4), (-2, -2), (-1, -1), (6, -1)]
)
def test_a_line_beside_codes_comes_into_the_range(level_db: float, expected: float) -> None:
    """The song of this line has the level that is encoded when it is multiplied by 4."""
    level = TARGET_RMS / 4 * 10 ** (level_db / 20)
    sound = np.pad(np.full((2, 300), level, np.float32), ((0, 0), (0, 100)))
    gain = balance_gain(sound, NOTES, 4.0, RANGE)
    assert level_db + 20 * np.log10(gain) == pytest.approx(expected, abs=1e-4)
    assert balance_gain(0 * sound, NOTES, 4.0, RANGE) == 1
    assert balance_gain(sound, 0 * NOTES, 4.0, RANGE) == 1


@pytest.mark.parametrize(("softest", "loudest"), [(-2, -3), (-61, 0), (0, 61), (float("nan"), 0)])
def test_a_range_that_makes_no_sense(softest: float, loudest: float) -> None:
    with pytest.raises(UserError, match="the balance ranges from"):
        BalanceRange(softest, loudest)
