"""The beats and bars of a song, and the musical positions between them.

A position is a whole number of twelfths of a beat (STEPS), counted from the first beat of the grid.
Twelfths hold sixteenths, triplets and swung eighths alike. Between two beats, time runs evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import require

STEPS = 12  # positions in a beat

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BarGrid:
    """The beats of a song from its beginning to its end, grouped in bars.

    Attributes:
        beats: times in seconds `[B]`, rising, at least two. The first is at or before the beginning
            of the song, and the last at or after its end.
        bar_starts: which beats begin a bar `[M]`, rising, at least one. The beats before the first
            belong to a bar whose beginning is missing.
        beat_unit: the lower number of the time signature that the beats are written in.
    """

    beats: Floats
    bar_starts: Integers
    beat_unit: int = 4

    def __post_init__(self) -> None:
        """Raise UserError for beats that do not make a grid."""
        require(
            len(self.beats) >= 2 and bool((np.diff(self.beats) > 0).all()),
            "a grid of bars needs at least two beats, each later than the one before it",
        )
        require(
            len(self.bar_starts) > 0
            and bool((np.diff(self.bar_starts) > 0).all())
            and self.bar_starts[0] >= 0
            and self.bar_starts[-1] < len(self.beats),
            "a grid of bars needs at least one beat that begins a bar",
        )

    @classmethod
    def of(
        cls,
        beats: Sequence[float],
        downbeats: Sequence[float],
        duration: float,
        beat_unit: int = 4,
    ) -> BarGrid:
        """Make a grid from the known beats of a song, and continue it evenly to both ends.

        Args:
            beats: times in seconds, rising, at least two.
            downbeats: times of the first beats of bars. Each belongs to the nearest beat. Without
                any, bars of four beats begin at the first beat.
            duration: of the song, in seconds.
            beat_unit: see the attributes.
        """
        known = np.asarray(beats, np.float64)
        require(len(known) >= 2, "a grid of bars needs at least two beats")
        period = float(np.median(np.diff(known)))
        before = max(0, int(np.ceil(known[0] / period - 1e-6)))
        after = max(0, int(np.ceil((duration - known[-1]) / period - 1e-6)))
        times = np.concatenate(
            (
                known[0] - period * np.arange(before, 0, -1),
                known,
                known[-1] + period * np.arange(1, after + 1),
            )
        )
        starts = np.unique([int(np.abs(times - time).argmin()) for time in downbeats or [known[0]]])
        length = int(np.median(np.diff(starts))) if len(starts) > 1 else 4
        earlier = np.arange(starts[0] % length, starts[0], length)
        later = np.arange(starts[-1] + length, len(times), length)
        return cls(times, np.concatenate((earlier, starts, later)).astype(np.int64), beat_unit)

    @property
    def positions(self) -> int:
        """The number of positions before the last beat."""
        return STEPS * (len(self.beats) - 1)

    @property
    def tempo(self) -> float:
        """The median tempo in beats per minute."""
        return 60 / float(np.median(np.diff(self.beats)))

    @property
    def beats_per_bar(self) -> int:
        """The usual number of beats in a bar."""
        if len(self.bar_starts) < 2:
            return max(1, int(self.bar_starts[0]), len(self.beats) - int(self.bar_starts[0]))
        lengths = np.diff(self.bar_starts)
        return int(np.bincount(lengths).argmax())

    @property
    def meter(self) -> tuple[int, int]:
        """The time signature."""
        return self.beats_per_bar, self.beat_unit

    @property
    def downbeats(self) -> Floats:
        """The times at which bars begin `[M]`, in seconds."""
        return self.beats[self.bar_starts]

    def time_of(self, positions: npt.ArrayLike) -> Floats:
        """Return the times of positions in seconds. Outside the grid, time continues evenly."""
        at = np.asarray(positions, np.float64) / STEPS
        index = np.clip(np.floor(at).astype(int), 0, len(self.beats) - 2)
        length = np.diff(self.beats)[index]
        return np.asarray(self.beats[index] + (at - index) * length)

    def position_of(self, seconds: npt.ArrayLike) -> Floats:
        """Return the positions of times, not rounded: the inverse of `time_of`."""
        time = np.asarray(seconds, np.float64)
        index = np.clip(np.searchsorted(self.beats, time, side="right") - 1, 0, len(self.beats) - 2)
        length = np.diff(self.beats)[index]
        return np.asarray(STEPS * (index + (time - self.beats[index]) / length))

    def bar_of(self, positions: npt.ArrayLike) -> Integers:
        """Return the number of the bar of each position; -1 before the first bar begins."""
        starts = STEPS * self.bar_starts
        return np.asarray(np.searchsorted(starts, np.asarray(positions), side="right") - 1)

    def place_in_bar(self, positions: npt.ArrayLike) -> Integers:
        """Return how far each position is into its bar.

        The beats before the first bar count as the end of a bar of the usual length.
        """
        at = np.asarray(positions, np.int64)
        bar = self.bar_of(at)
        starts = STEPS * self.bar_starts
        usual = STEPS * self.beats_per_bar
        early = (at - starts[0]) % usual
        return np.asarray(np.where(bar < 0, early, at - starts[np.maximum(bar, 0)]))
