"""The level of a song over time."""

import numpy as np
import pytest

from shared.sound.level_curve import SILENCE_DB, LevelCurve
from shared.sound.samples import Samples, rms

RATE = 4000


def music(seconds: float, level: float = 0.1, seed: int = 0) -> Samples:
    """Noise `[2, N]` with a beat: every half second it decays by 9 dB."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, level, (2, round(seconds * RATE)))
    decay = np.exp(-2 * (np.arange(noise.shape[1]) / RATE % 0.5))
    return (noise * decay).astype(np.float32)


def decibels(samples: Samples) -> float:
    return 20 * float(np.log10(rms(samples)))


def test_the_typical_level_of_steady_music_is_its_rms() -> None:
    song = music(20)
    assert LevelCurve.of(song, RATE).typical == pytest.approx(decibels(song), abs=0.2)


def test_silence_and_bursts_do_not_change_the_typical_level() -> None:
    song = music(20)
    expected = LevelCurve.of(song, RATE).typical
    padded = np.pad(song, ((0, 0), (30 * RATE, 40 * RATE)))
    assert LevelCurve.of(padded, RATE).typical == pytest.approx(expected, abs=0.4)
    song[:, 8 * RATE : 8 * RATE + RATE // 2] *= 10
    assert LevelCurve.of(song, RATE).typical == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", ["dead", "inverted", "offset", "one channel softer"])
def test_the_form_of_the_channels_does_not_matter(name: str) -> None:
    song = np.repeat(music(10)[:1], 2, axis=0)
    expected = LevelCurve.of(song, RATE).typical
    if name == "dead":
        song[1] = 0
    elif name == "inverted":
        song[1] *= -1
    elif name == "offset":
        song += 0.5
    else:
        song[1] *= 0.9
    assert LevelCurve.of(song, RATE).typical == pytest.approx(expected, abs=0.5)


def test_rests_between_chords_are_filled_and_long_breaks_are_not() -> None:
    song = music(30)
    song[:, 5 * RATE : 8 * RATE] = 0
    song[:, 15 * RATE : 22 * RATE] *= 0.1
    curve = LevelCurve.of(song, RATE)
    at = curve.envelope[[int(second / 0.05) for second in (3, 6.5, 12, 18.5, 27)]]
    np.testing.assert_allclose(at - at[0], [0, 0, 0, -20, 0], atol=0.5)


def test_a_song_of_single_sounds_is_not_taken_for_silence() -> None:
    song = np.zeros((2, 20 * RATE), np.float32)
    for second in (2, 9, 16):
        song[:, second * RATE : (second + 1) * RATE] = music(1)
    assert LevelCurve.of(song, RATE).typical == pytest.approx(decibels(music(1)), abs=4)


@pytest.mark.parametrize(
    ("tail", "level", "expected"),
    [(0.0, 0.0, 10), (0.8, 0.0, 10.8), (3.0, 0.0, 10), (3.0, 1e-5, 10), (3.0, 3e-3, 13)],
)
def test_a_song_ends_before_the_silence_at_its_end(
    tail: float, level: float, expected: float
) -> None:
    noise = np.random.default_rng(1).normal(0, level, (2, round(tail * RATE)))
    song = np.concatenate((music(10), noise.astype(np.float32)), axis=1)
    assert LevelCurve.of(song, RATE).end == pytest.approx(expected, abs=0.051)


def test_a_silent_song_ends_where_it_begins() -> None:
    curve = LevelCurve.of(np.full((2, 5 * RATE), 0.25, np.float32), RATE)
    assert curve.silent
    assert curve.typical == SILENCE_DB
    assert curve.end == 0


def test_a_song_may_be_shorter_than_a_block() -> None:
    curve = LevelCurve.of(np.array([[0.1, -0.1]] * 2, np.float32), RATE)
    assert curve.typical == pytest.approx(-20)
    assert curve.end == 2 / RATE
