"""Masks give the input back, tell sources apart, and do not depend on the blocks."""

import numpy as np
import pytest

from shared.sound import masking
from shared.sound.masking import mask_song


@pytest.fixture
def sources() -> np.ndarray:
    """A low and a high tone that never share a bin `[2, 2, N]`."""
    time = np.arange(20_000) / 44_100
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in (110, 3000)]).astype(np.float32)
    return np.stack([tones, 0.5 * tones], axis=1)


def test_estimates_and_residual_sum_to_the_input():
    random = np.random.default_rng(0)
    mixture = random.standard_normal((2, 30_001)).astype(np.float32)
    decoded = random.standard_normal((3, 2, 30_001)).astype(np.float32)
    decoded[:, :, :10_000] = 0
    separated = mask_song(mixture, decoded)
    total = separated.estimates.sum(0) + separated.residual
    np.testing.assert_allclose(total, mixture, atol=1e-6)
    # Where nothing was decoded all is residual; elsewhere nothing is.
    np.testing.assert_allclose(separated.residual[:, :5000], mixture[:, :5000], atol=1e-6)
    np.testing.assert_allclose(separated.residual[:, 15_000:], 0, atol=1e-5)


def test_a_rough_copy_brings_the_source_back(sources):
    rough = 0.7 * np.roll(sources, 37, axis=-1)  # wrong level and phase
    estimates = mask_song(sources.sum(0), rough).estimates
    inner = slice(3000, -3000)
    error = np.square(estimates - sources)[..., inner].sum((1, 2))
    energy = np.square(sources)[..., inner].sum((1, 2))
    assert (10 * np.log10(energy / error) > 30).all()


@pytest.mark.parametrize("num_samples", [1, 1023, 4096, 8 * 1024, 8 * 1024 + 1, 25_000])
def test_blocks_equal_the_whole(monkeypatch, num_samples):
    random = np.random.default_rng(1)
    mixture = random.standard_normal((2, num_samples)).astype(np.float32)
    decoded = random.standard_normal((2, 2, num_samples)).astype(np.float32)
    whole = mask_song(mixture, decoded)
    monkeypatch.setattr(masking, "BLOCK", 4 * masking.HOP)
    blocks = mask_song(mixture, decoded)
    np.testing.assert_allclose(blocks.estimates, whole.estimates, atol=1e-6)
    np.testing.assert_allclose(blocks.residual, whole.residual, atol=1e-6)
    assert whole.estimates.dtype == np.float32


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="does not fit"):
        mask_song(np.zeros((2, 9), np.float32), np.zeros((3, 2, 8), np.float32))
