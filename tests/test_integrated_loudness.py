"""Loudness by BS.1770: the standard's own reference values, and sounds without a loudness."""

import numpy as np
import pytest

from shared.sound.integrated_loudness import integrated_loudness


def sine(hertz: float, decibels: float, seconds: float, rate: int) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    wave = 10 ** (decibels / 20) * np.sin(2 * np.pi * hertz * time)
    return np.stack([wave, wave]).astype(np.float32)


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("level", [-23.0, -33.0])
def test_a_stereo_sine_of_1_khz_has_its_peak_level_as_loudness(rate: int, level: float) -> None:
    """EBU Tech 3341, test cases 1 and 2."""
    loudness = integrated_loudness(sine(1000, level, 4.0, rate), rate)
    assert loudness == pytest.approx(level, abs=0.1)


def test_silent_and_short_sounds_and_low_rates_have_none() -> None:
    assert integrated_loudness(np.zeros((2, 44100), np.float32), 44100) is None
    assert integrated_loudness(sine(1000, -20, 0.3, 44100), 44100) is None
    assert integrated_loudness(sine(100, -20, 2.0, 4000), 4000) is None


def test_one_channel_is_3_db_softer_than_two() -> None:
    both = sine(1000, -23, 2.0, 48000)
    assert integrated_loudness(both[:1], 48000) == pytest.approx(-26.0, abs=0.1)
