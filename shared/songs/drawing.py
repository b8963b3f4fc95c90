"""Draw songs by chance, in proportion to their lengths."""

from collections.abc import Iterable

import numpy as np


class ByLength:
    """Draws the number of a song, in the same time for any number of songs."""

    def __init__(self, lengths: Iterable[int]) -> None:
        """Prepare to draw from songs of these lengths, of which at least one must not be 0."""
        weights = np.fromiter(lengths, np.float64)
        self._shares = (weights / weights.sum()).cumsum()
        self._shares /= self._shares[-1]

    def draw(self, chance: np.random.Generator) -> int:
        """Draw a number as `chance.choice` does with the lengths as probabilities."""
        return int(self._shares.searchsorted(chance.random(), side="right"))
