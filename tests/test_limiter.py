"""The true-peak limiter: what it leaves alone, and what comes out of it at most."""

import numpy as np
import pytest
from scipy.signal import resample_poly

from shared.sound.decibels import factor
from shared.sound.limiter import limiting_gain, true_peaks
from shared.sound.sliced import whole

RATE = 44100
CEILING = factor(-1.0)


def tone(hertz: float, level: float, seconds: float = 0.5, phase: float = 0.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = level * np.sin(2 * np.pi * hertz * time + phase)
    return np.stack([wave, 0.5 * wave]).astype(np.float32)


def gain_of(parts: list[np.ndarray]) -> np.ndarray:
    """The gain `[N]`, with the figures that come with it checked."""
    limiting = limiting_gain(parts, RATE)
    (gain,) = whole(limiting.gain)
    assert limiting.smallest == gain.min(initial=1.0)
    assert limiting.share == pytest.approx(np.mean(gain < 1))
    return gain


def test_the_true_peak_lies_between_the_samples() -> None:
    """A sine of a quarter of the rate, sampled 45 degrees beside its peaks."""
    sine = tone(RATE / 4, 1.0, phase=np.pi / 4)
    assert np.abs(sine).max() == pytest.approx(0.7071, abs=1e-3)
    assert true_peaks(sine)[1000:-1000].max() == pytest.approx(1.0, abs=0.02)


def test_true_peaks_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 5000)).astype(np.float32)
    at_once = true_peaks(noise)
    monkeypatch.setattr("shared.sound.limiter._BLOCK", 701)
    np.testing.assert_allclose(true_peaks(noise), at_once, atol=1e-6)


def test_what_is_soft_enough_stays_as_it_is() -> None:
    assert (gain_of([tone(100, 0.8)]) == 1).all()
    assert (gain_of([np.zeros((2, 100), np.float32)]) == 1).all()


@pytest.mark.parametrize("seconds", [0.001, 0.5])
def test_no_part_exceeds_the_ceiling_and_the_gain_is_common(seconds: float) -> None:
    parts = [tone(110, 2.0, seconds), tone(RATE / 4, 1.2, seconds, np.pi / 4)]
    gain = gain_of(parts)
    assert gain.shape == parts[0].shape[1:]
    for part in parts:
        limited = np.abs(resample_poly(part * gain, 4, 1, axis=1)).max()
        assert limited <= CEILING * 1.02


def test_far_from_a_peak_the_gain_is_exactly_1_and_it_falls_before_the_peak() -> None:
    sound = tone(110, 0.5, 2.0)
    peak = RATE
    sound[:, peak : peak + 10] = 2.0
    gain = gain_of([sound])
    assert (gain[: peak - RATE // 50] == 1).all()
    assert (gain[peak + RATE // 2 :] == 1).all()
    assert gain[peak : peak + 10].max() <= CEILING / 2 + 1e-3
    assert 0 < gain[peak - 100] < 1
    assert np.abs(np.diff(gain)).max() < 0.05


def test_the_gain_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [tone(110, 2.0, 1.0), tone(440, 1.2, 1.0)]
    at_once = gain_of(parts)
    monkeypatch.setattr("shared.sound.limiter._BLOCK", 7000)
    monkeypatch.setattr("shared.sound.sliced.MOST_IN_MEMORY", 5000)
    np.testing.assert_allclose(gain_of(parts), at_once, atol=1e-6)
