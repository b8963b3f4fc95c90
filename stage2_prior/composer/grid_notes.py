"""A bass line as notes on the grid of beats and bars.

A note has an onset, which is a position of the grid (shared/music/bar_grid.py), a length in
positions, a pitch and a loudness. Onsets lie on the sixteenths, the eighth triplets or the
sixteenth triplets of a beat, never between them, and a note lasts at least a sixteenth triplet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bar_grid import STEPS, BarGrid
from shared.music.notes import Note, NoteVocabulary
from stage2_prior.loudness import loudness_of_velocities, velocities_of_loudness

LOWEST, HIGHEST = NoteVocabulary.LOW, NoteVocabulary.HIGH
PITCHES = HIGHEST - LOWEST + 1

# The lengths that a note may have, in positions. Longer notes are as long as the last.
_SHORTER = (*range(2, 13), 14, 16, 18, 20, 21, 24, 27, 30, 33, 36, 42, 45, 48)
LENGTHS = np.array([*_SHORTER, 60, 72, 84, 96, 120, 144, 168, 192])
# Where in a beat a note may begin. When a played onset is moved there, each place counts as further
# away than it is by so many positions: simple places are preferred.
_PLACES = np.array([0, 2, 3, 4, 6, 8, 9, 10, 12])
_RELUCTANCE = np.array([0, 0.6, 0, 0.25, 0, 0.25, 0, 0.6, 0])
MAY_BEGIN = np.isin(np.arange(STEPS), _PLACES)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GridNotes:
    """The notes of a line, in the order of their onsets and without overlap.

    Attributes:
        onset: positions `[N]`, each at least the shortest length later than the one before.
        length: in positions `[N]`.
        pitch: MIDI numbers `[N]`, from LOWEST to HIGHEST.
        loudness: their classes `[N]` (loudness.py).
    """

    onset: Integers
    length: Integers
    pitch: Integers
    loudness: Integers

    def __len__(self) -> int:
        """Return the number of notes N."""
        return len(self.onset)

    @property
    def end(self) -> Integers:
        """The positions at which the notes end `[N]`."""
        return self.onset + self.length

    @classmethod
    def quantise(cls, notes: Sequence[Note], grid: BarGrid) -> GridNotes:
        """Move played notes onto the grid.

        Of notes that would begin closer together than the shortest length only the longest is kept.
        A note ends where the next one begins, or before.
        """
        kept: list[tuple[int, Note]] = []
        placed = [(_nearest_place(float(grid.position_of(note.onset))), note) for note in notes]
        for onset, note in sorted(placed, key=lambda each: each[0]):
            if not 0 <= onset < grid.positions:
                continue
            if kept and onset - kept[-1][0] < LENGTHS[0]:
                if note.duration <= kept[-1][1].duration:
                    continue
                kept.pop()
            kept.append((onset, note))
        onsets = np.array([onset for onset, _ in kept], np.int64)
        # A note that was moved keeps its end.
        ends = np.round(grid.position_of([note.end for _, note in kept])).astype(np.int64)
        following = np.append(onsets[1:], onsets[-1:] + LENGTHS[-1])
        lengths = np.minimum(np.maximum(ends - onsets, LENGTHS[0]), following - onsets)
        loudness = loudness_of_velocities([note.velocity for _, note in kept])
        pitches = [NoteVocabulary.fold(note.pitch) for _, note in kept]
        return cls(onsets, lengths, np.array(pitches, np.int64), loudness)

    def played(self, grid: BarGrid) -> list[Note]:
        """Return the notes in seconds. One that begins just before the song begins with it."""
        starts = grid.time_of(self.onset)
        shortest = grid.time_of(self.onset + LENGTHS[0]) - starts
        starts = starts.clip(0)
        durations = np.maximum(grid.time_of(self.end) - starts, shortest)
        velocities = velocities_of_loudness(self.loudness)
        return [
            Note(float(start), float(duration), int(pitch), int(velocity))
            for start, duration, pitch, velocity in zip(
                starts, durations, self.pitch, velocities, strict=True
            )
        ]

    def between(self, first: int, stop: int) -> GridNotes:
        """Return the notes that begin at the positions from `first` until before `stop`."""
        inside = (self.onset >= first) & (self.onset < stop)
        return self.select(inside)

    def select(self, chosen: npt.NDArray[np.bool_]) -> GridNotes:
        """Return the notes where `chosen` `[N]` is true."""
        return GridNotes(
            self.onset[chosen], self.length[chosen], self.pitch[chosen], self.loudness[chosen]
        )


def length_class(lengths: npt.ArrayLike) -> Integers:
    """Return for each length the number of the nearest one of LENGTHS that is not longer."""
    return np.asarray(np.searchsorted(LENGTHS, np.asarray(lengths), side="right") - 1).clip(0)


def _nearest_place(position: float) -> int:
    beat = int(np.floor(position / STEPS))
    distance = np.abs(position - STEPS * beat - _PLACES) + _RELUCTANCE
    return STEPS * beat + int(_PLACES[distance.argmin()])
