"""Means over songs, with bootstrap intervals."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
COVERAGE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over songs with its 95 % bootstrap interval. All three are nan without any value.

    Attributes:
        mean: the mean.
        low: the lower bound of the interval.
        high: the upper bound.
        songs: the number of songs that had a value.
    """

    mean: float
    low: float
    high: float
    songs: int

    def __str__(self) -> str:
        """Write the estimate as `mean [low, high]`, or as `-` without any value."""
        if not self.songs:
            return "-"
        decimals = 1 if abs(self.mean) >= 10 else 2
        mean, low, high = (f"{value:.{decimals}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"


def bootstrap_mean(values: Iterable[float], seed: int = 0) -> Estimate:
    """Average one value for each song, with Efron's percentile interval.

    Args:
        values: one value for each song; nan where a song has none.
        seed: of the resampling.
    """
    array = np.fromiter(values, np.float64)
    array = array[~np.isnan(array)]
    if not len(array):
        return Estimate(np.nan, np.nan, np.nan, 0)
    drawn = np.random.default_rng(seed).integers(len(array), size=(RESAMPLES, len(array)))
    edges = (1 - COVERAGE) / 2, (1 + COVERAGE) / 2
    low, high = np.quantile(array[drawn].mean(1), edges)
    return Estimate(float(array.mean()), float(low), float(high), len(array))
