"""The log-spectral distance has the values that follow from its definition."""

import numpy as np
import pytest

from shared.sound.samples import Samples
from shared.sound.spectral_distance import BANDS, BandDistance, band_distances

RATE = 44100


def noise(seed: int, seconds: float = 1.0) -> Samples:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (0.1 * samples).astype(np.float32)


def tone(hertz: float, seconds: float = 1.0) -> Samples:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * hertz * time).astype(np.float32)


def test_a_sound_is_at_no_distance_from_itself() -> None:
    bands = band_distances(noise(0), noise(0), RATE)
    assert bands == tuple(BandDistance(low, high, 0.0, 0.0) for low, high in BANDS)


def test_half_the_amplitude_is_6_db_in_every_band() -> None:
    for band in band_distances(noise(0) / np.float32(2), noise(0), RATE):
        assert band.distance == pytest.approx(6.0206, abs=1e-3)
        assert band.level_error == pytest.approx(-6.0206, abs=1e-3)


def test_phases_do_not_count() -> None:
    for band in band_distances(-noise(0), noise(0), RATE):
        assert band.distance == pytest.approx(0, abs=1e-3)


def test_two_noises_are_as_far_apart_as_theory_says() -> None:
    """The dB levels of noise have a deviation of 5.57 dB, and those of two noises differ by more.

    The root is taken in each frame, so that the mean stays a little below 7.88 dB.
    """
    low, *_, high = band_distances(noise(0, 8.0), noise(1, 8.0), RATE)
    assert high.distance == pytest.approx(5.57 * 2**0.5, abs=0.1)
    assert low.distance == pytest.approx(7.3, abs=0.6)  # few bins


def test_only_the_band_with_a_change_is_affected() -> None:
    made = noise(0) + tone(1500)
    bands = {band.low: band for band in band_distances(made, noise(0), RATE)}
    assert bands[1000].level_error > 20
    for low in (30, 120, 3000):
        assert abs(bands[low].level_error) < 0.1, low


def test_magnitudes_are_floored_80_db_below_the_loudest_bin() -> None:
    silent = np.zeros(RATE, np.float32)
    bands = {band.low: band for band in band_distances(silent, tone(200), RATE)}
    assert bands[3000].distance < 1  # the target too is below the floor there
    assert -80 < bands[120].level_error < -50


def test_quiet_frames_of_the_target_are_left_out() -> None:
    target = np.concatenate([noise(0), 0.005 * noise(1)])
    made = np.concatenate([noise(0), noise(2)])
    inside = slice(0, RATE - 4096)
    expected = band_distances(made[inside], target[inside], RATE)
    assert expected[-1].distance == 0
    found = band_distances(made, target, RATE)
    assert 0 < found[-1].distance < 1  # the frames that reach over the border still count


def test_a_silent_target_has_no_distance() -> None:
    for band in band_distances(noise(0), np.zeros(RATE, np.float32), RATE):
        assert np.isnan([band.distance, band.level_error]).all()


def test_a_sound_shorter_than_a_window_is_measured() -> None:
    short = noise(0)[:1000]
    assert band_distances(2 * short, short, RATE)[3].level_error == pytest.approx(6.02, abs=0.01)


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="must both be"):
        band_distances(noise(0), noise(0)[1:], RATE)
    with pytest.raises(ValueError, match="must both be"):
        band_distances(noise(0)[None], noise(0)[None], RATE)
