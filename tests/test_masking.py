"""Masks give the mixture back, tell sources apart, and do not depend on the blocks."""

import numpy as np
import pytest

from shared.sound import masking
from shared.sound.masking import BLOCK, HOP, mask_song


@pytest.fixture
def sources() -> np.ndarray:
    """A low and a high tone that never share a bin `[2, 2, N]`."""
    time = np.arange(20_000) / 44_100
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in (110, 3000)]).astype(np.float32)
    return np.stack([tones, 0.5 * tones], axis=1)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_the_estimates_sum_to_the_mixture_wherever_something_was_decoded() -> None:
    mixture, decoded = noise(0, 2, 30_001), noise(1, 3, 2, 30_001)
    decoded[:, :, :10_000] = 0
    total = mask_song(mixture, [decoded], range(3)).sum(0)
    np.testing.assert_array_equal(total[:, :5000], 0)
    np.testing.assert_allclose(total[:, 15_000:], mixture[:, 15_000:], atol=1e-5)


def test_a_bin_is_shared_in_the_ratio_of_the_magnitudes(sources: np.ndarray) -> None:
    """Not of the powers: 3 to 1, whatever the phases and whatever the level."""
    tone = sources[0]
    estimates = mask_song(tone, [np.float32(0.01) * np.stack([3 * tone, -tone])], [0, 1])
    inner = slice(4096, -4096)
    np.testing.assert_allclose(estimates[0][:, inner], 0.75 * tone[:, inner], atol=1e-4)
    np.testing.assert_allclose(estimates[1][:, inner], 0.25 * tone[:, inner], atol=1e-4)


def test_a_rough_copy_brings_the_source_back(sources: np.ndarray) -> None:
    rough = np.float32(0.7) * np.roll(sources, 37, axis=-1)  # wrong level and phase
    estimates = mask_song(sources.sum(0), [rough], [0, 1])
    inner = slice(3000, -3000)
    error = np.square(estimates - sources)[..., inner].sum((1, 2))
    energy = np.square(sources)[..., inner].sum((1, 2))
    assert (10 * np.log10(energy / error) > 30).all()


def test_only_the_kept_sources_are_returned_but_all_take_part() -> None:
    mixture, decoded = noise(2, 2, 10_000), noise(3, 4, 2, 10_000)
    every = mask_song(mixture, [decoded], range(4))
    np.testing.assert_array_equal(mask_song(mixture, [decoded], [3, 1]), every[[3, 1]])


@pytest.mark.parametrize(
    ("num_samples", "block"),
    [(length, 4 * HOP) for length in (1, 1023, 4096, 8 * HOP, 8 * HOP + 1, 25_000)]
    + [(BLOCK + 5000, BLOCK)],
)
def test_blocks_equal_the_whole(
    monkeypatch: pytest.MonkeyPatch, num_samples: int, block: int
) -> None:
    mixture, decoded = noise(4, 2, num_samples), noise(5, 2, 2, num_samples)
    monkeypatch.setattr(masking, "BLOCK", 100 * HOP)
    whole = mask_song(mixture, [decoded], [0, 1])
    monkeypatch.setattr(masking, "BLOCK", block)
    np.testing.assert_allclose(mask_song(mixture, [decoded], [0, 1]), whole, atol=1e-6)
    np.testing.assert_allclose(whole.sum(0), mixture, atol=1e-5)
    assert whole.dtype == np.float32


@pytest.mark.parametrize("size", [1, 1000, 7 * HOP, 30_000])
def test_the_decoded_sources_may_come_in_blocks_of_any_size(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    num_samples = 2000 if size == 1 else 25_000
    mixture, decoded = noise(4, 2, num_samples), noise(5, 2, 2, num_samples)
    monkeypatch.setattr(masking, "BLOCK", 4 * HOP)
    blocks = (decoded[..., start : start + size] for start in range(0, num_samples, size))
    np.testing.assert_array_equal(
        mask_song(mixture, blocks, [1]), mask_song(mixture, [decoded], [1])
    )


def test_lengths_must_fit() -> None:
    mixture, block = np.zeros((2, 9), np.float32), np.zeros((3, 2, 4), np.float32)
    with pytest.raises(ValueError, match="end before sample 9 of the mixture"):
        mask_song(mixture, [block, block], [0])
    with pytest.raises(ValueError, match="go on beyond the mixture's 9 samples"):
        mask_song(mixture, [block, block, block], [0])


def test_nothing_gives_nothing() -> None:
    assert mask_song(np.zeros((2, 0), np.float32), [], [0, 1]).shape == (2, 2, 0)
