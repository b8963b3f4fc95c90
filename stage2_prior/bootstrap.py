"""A mean over songs and how far to trust it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
COVERAGE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over songs, the bounds of its 95 % bootstrap interval, and how many songs had a value.

    All are nan where none had.
    """

    mean: float
    low: float
    high: float
    songs: int

    def __str__(self) -> str:
        if not self.songs:
            return "-"
        decimals = 1 if abs(self.mean) >= 10 else 2
        mean, low, high = (f"{value:.{decimals}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"


def bootstrap_mean(values: Iterable[float], seed: int = 0) -> Estimate:
    """The mean of one value a song, nan left out, with Efron's percentile interval over songs."""
    array = np.fromiter(values, np.float64)
    array = array[~np.isnan(array)]
    if not len(array):
        return Estimate(np.nan, np.nan, np.nan, 0)
    drawn = np.random.default_rng(seed).integers(len(array), size=(RESAMPLES, len(array)))
    edges = (1 - COVERAGE) / 2, (1 + COVERAGE) / 2
    low, high = np.quantile(array[drawn].mean(1), edges)
    return Estimate(float(array.mean()), float(low), float(high), len(array))
