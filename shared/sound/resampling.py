"""Resample sounds of any length in blocks."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from shared.sound.samples import Samples, fit_length, resample
from shared.sound.sliced import BLOCK, SlicedSamples, is_short, stored, whole

# The filters of `resample` reach over less than so many periods of the two rates.
_REACH = 12


def resampled(
    samples: SlicedSamples, original_rate: int, new_rate: int, folder: Path | None = None
) -> SlicedSamples:
    """Resample `[C, N]` as `resample` does; long sounds in blocks, and onto the disk.

    Args:
        samples: the sound.
        original_rate: its sample rate in Hz.
        new_rate: the sample rate of the result.
        folder: where a long result is kept (`StoredSamples`).

    Raises:
        OSError: the disk is full.
    """
    if original_rate == new_rate:
        return samples
    if is_short(samples):
        return resample(whole(samples), original_rate, new_rate)
    blocks = _resampled_blocks(samples, original_rate, new_rate, BLOCK)
    return stored(blocks, samples.shape[0], folder)


def _resampled_blocks(
    samples: SlicedSamples, original_rate: int, new_rate: int, size: int
) -> Iterator[Samples]:
    ratio = Fraction(new_rate, original_rate)
    up, down = ratio.numerator, ratio.denominator
    periods, length = max(1, size // down), samples.shape[-1]
    wanted = round(length * new_rate / original_rate)
    for first in range(0, -(-length // down), periods):
        low = max(0, first - _REACH)
        part = samples[:, low * down : (first + periods + _REACH) * down]
        start, stop = first * up, min((first + periods) * up, wanted)
        yield resample(part, original_rate, new_rate)[:, start - low * up : stop - low * up]


def at_rate(
    samples: SlicedSamples, original_rate: int, new_rate: int, length: int, folder: Path | None
) -> SlicedSamples:
    """Resample `[C, N]`, and cut it to a length or append zeros."""
    changed = resampled(samples, original_rate, new_rate, folder)
    if isinstance(changed, np.ndarray):
        return fit_length(changed, length)
    return Fitted(changed, length)


class Fitted:
    """Samples that are cut to a length, or go on with zeros.

    Attributes:
        shape: the number of channels, and that length.
    """

    def __init__(self, samples: SlicedSamples, length: int) -> None:
        """Describe the samples."""
        self._samples = samples
        self.shape: tuple[int, ...] = (samples.shape[0], length)

    def __getitem__(self, key: tuple[slice, slice]) -> Samples:
        """Read channels in a slice of time."""
        start, stop, _ = key[1].indices(self.shape[1])
        return fit_length(self._samples[:, start:stop], max(0, stop - start))[key[0]]
