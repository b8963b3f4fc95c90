"""Two sounds are joined at a frequency, and equal sounds are left as they are."""

import numpy as np
import pytest

from shared.errors import UserError
from shared.sound import crossover
from shared.sound.crossover import join_bands

RATE = 44100


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * hertz * time).astype(np.float32)[None]


def joined_bands(low: np.ndarray, high: np.ndarray, crossover_hz: float = 300) -> np.ndarray:
    return np.concatenate([*join_bands([(low, high)], crossover_hz, RATE)], axis=1)


def test_lows_come_from_one_sound_and_highs_from_the_other() -> None:
    low, high = tone(100) + tone(1000), tone(150) + tone(2000)
    joined = joined_bands(low, high)
    inside = slice(2000, -2000)
    np.testing.assert_allclose(joined[0, inside], (tone(100) + tone(2000))[0, inside], atol=5e-3)


def test_equal_sounds_give_that_sound() -> None:
    sound = np.random.default_rng(0).standard_normal((2, 30_000)).astype(np.float32)
    np.testing.assert_allclose(joined_bands(sound, sound), sound, atol=1e-6)


def test_at_the_crossover_both_count_by_half() -> None:
    joined = joined_bands(tone(300), np.zeros_like(tone(300)))
    assert np.abs(joined[0, 5000:-5000]).max() == pytest.approx(0.5, abs=0.01)


def test_one_channel_of_highs_serves_both() -> None:
    low = np.concatenate([tone(100), 0.5 * tone(100)])
    joined = joined_bands(low, tone(2000))
    for channel in (0, 1):
        expected = joined_bands(low[channel : channel + 1], tone(2000))
        np.testing.assert_allclose(joined[channel], expected[0], atol=1e-6)


@pytest.mark.parametrize("hertz", [0.0, -1.0, 22050.0, 30000.0])
def test_a_crossover_outside_the_sound_is_refused(hertz: float) -> None:
    with pytest.raises(UserError, match=f"no crossover at {hertz:g} Hz, .* up to 22050 Hz: set"):
        joined_bands(tone(100), tone(200), hertz)


@pytest.mark.parametrize("length", [1, 1000, 5000])
def test_blocks_equal_the_whole(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = np.random.default_rng(0).standard_normal((2, 2, length)).astype(np.float32)
    whole = joined_bands(low, high)
    monkeypatch.setattr(crossover, "BLOCK", 700)
    np.testing.assert_allclose(joined_bands(low, high), whole, atol=1e-5)
