"""Conversions of sample arrays: channels, sample rate, length, word size and level."""

import numpy as np
import pytest
import torch

from shared.sound.levels import TARGET_RMS, accompaniment_gain
from shared.sound.samples import (
    Samples,
    fit_length,
    resample,
    rms,
    to_int16,
    to_stereo,
    unclipped,
)
from shared.sound.torchaudio_guard import torchaudio

RATE = 44100
CENTRE = 0.5**0.5  # ITU-R BS.775: -3 dB


def sine(num_samples: int, rate: int = RATE, hertz: float = 220.0) -> Samples:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(num_samples) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([1], [1]),
        ([1, 0], [0, 1]),
        ([1, 0, CENTRE], [0, 1, CENTRE]),
        ([1, 0, CENTRE, 0], [0, 1, 0, CENTRE]),
        ([1, 0, CENTRE, CENTRE, 0], [0, 1, CENTRE, 0, CENTRE]),
        ([1, 0, CENTRE, 0, CENTRE, 0], [0, 1, CENTRE, 0, 0, CENTRE]),
        ([1, 0, CENTRE, 0, 0.5, CENTRE, 0], [0, 1, CENTRE, 0, 0.5, 0, CENTRE]),
        ([1, 0, CENTRE, 0, CENTRE, 0, CENTRE, 0], [0, 1, CENTRE, 0, 0, CENTRE, 0, CENTRE]),
    ],
    ids=["mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"],
)
def test_every_channel_has_its_weight(left: list[float], right: list[float]) -> None:
    each_alone = np.eye(len(left), dtype=np.float32)  # sample n sounds in channel n only
    expected = np.array([left, right]) / np.sum([left, right], axis=1, keepdims=True)
    np.testing.assert_allclose(to_stereo(each_alone), expected, atol=1e-6)


def test_int16_rounds_to_the_nearest_and_clips() -> None:
    samples = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 1.5], np.float32)
    assert to_int16(samples).tolist() == [-32768, -32768, 0, 16384, 32767, 32767]
    steps = np.array([-1.4, -0.6, -0.4, 0.4, 0.6, 1.4], np.float32)
    assert to_int16(steps / np.float32(32768)).tolist() == [-1, -1, 0, 0, 1, 1]
    assert samples[0] == -2  # the input is left alone


@pytest.mark.parametrize("rate", [8000, 22050, 32000, 44099, 44101, 48000, 96000])
def test_resample_keeps_the_tone_and_gives_the_exact_length(rate: int) -> None:
    num_samples = rate // 2 + 7
    resampled = resample(sine(num_samples, rate)[None], rate, RATE)
    assert resampled.dtype == np.float32
    assert resampled.shape == (1, round(num_samples * RATE / rate))
    inner = slice(2000, -2000)
    np.testing.assert_allclose(resampled[0, inner], sine(resampled.shape[1])[inner], atol=2e-3)


def test_usual_rates_go_through_torchaudio() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (2, 4800)).astype(np.float32)
    expected = torchaudio.functional.resample(torch.from_numpy(samples), 48000, 44100).numpy()
    np.testing.assert_array_equal(resample(samples, 48000, 44100), expected)


def test_resample_to_the_same_rate_changes_nothing() -> None:
    samples = sine(100)[None]
    assert resample(samples, RATE, RATE) is samples


def test_a_length_is_cut_or_filled_with_zeros() -> None:
    samples = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    assert fit_length(samples, 2).tolist() == [[1, 2], [4, 5]]
    assert fit_length(samples, 3).tolist() == samples.tolist()
    assert fit_length(samples, 5).tolist() == [[1, 2, 3, 0, 0], [4, 5, 6, 0, 0]]


def test_rms_is_that_of_all_channels_together() -> None:
    assert rms(np.array([[3.0, 0.0], [0.0, 4.0]])) == 2.5
    assert rms(np.zeros((2, 0))) == 0


def test_only_what_exceeds_full_scale_is_scaled_and_as_a_whole() -> None:
    quiet = np.array([[0.5, -1.0]], np.float32)
    np.testing.assert_array_equal(unclipped(quiet)[0], quiet)
    assert unclipped(quiet)[1] == 1
    assert unclipped(0.5 * quiet)[1] == 1
    scaled, scale = unclipped(np.array([[1.0, 0.0], [-4.0, 2.0]], np.float32))
    assert scaled.tolist() == [[0.25, 0], [-1, 0.5]]
    assert scale == 0.25
    assert unclipped(np.zeros((2, 0), np.float32))[1] == 1


def test_the_gain_brings_an_accompaniment_to_the_agreed_level() -> None:
    accompaniment = np.stack([sine(RATE), 0.2 * sine(RATE)])
    gain = accompaniment_gain(accompaniment)
    assert rms(gain * accompaniment) == pytest.approx(0.1) == pytest.approx(TARGET_RMS)
    assert accompaniment_gain(np.zeros((2, 100), np.float32)) == 1
    assert accompaniment_gain(np.full((2, 100), 9e-6, np.float32)) == 1


def test_torchaudio_runs_without_its_extension() -> None:
    assert torchaudio.transforms.MelSpectrogram(RATE).sample_rate == RATE
