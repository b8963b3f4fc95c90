"""A line as the steps in which the composer writes it."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from stage2_prior.composer.grid_notes import LENGTHS, LOWEST, PITCHES, GridNotes, length_class
from stage2_prior.composer.network import HORIZON, NONE, NOTHING, UNKNOWN

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LineSteps:
    """The choices of the N steps of a line, and what each step knows of the one before it.

    Attributes:
        cursor: the position from which the next note may begin `[N]`.
        gap: how many positions later it begins `[N]`; NOTHING where none begins within the horizon.
        pitch: its number above LOWEST `[N]`; NONE where there is no note.
        length: the number of its length in LENGTHS `[N]`; NONE where there is no note.
        loudness: its loudness `[N]`; NONE where there is no note, or it is not known.
        past_pitch: the pitch of the step before `[N]`; PITCHES where there was no note.
        past_length: its length `[N]`; len(LENGTHS) where there was no note.
        past_loudness: its loudness `[N]`; UNKNOWN where it is not known.
        past_gap: its gap `[N]`; HORIZON where there was no note.
    """

    cursor: Integers
    gap: Integers
    pitch: Integers
    length: Integers
    loudness: Integers
    past_pitch: Integers
    past_length: Integers
    past_loudness: Integers
    past_gap: Integers

    @classmethod
    def of(cls, notes: GridNotes, positions: int) -> "LineSteps":
        """Cut a line into steps, of which the last ones say that nothing follows.

        Args:
            notes: the line. Positions count from 0.
            positions: the number of positions P of the song.
        """
        rows: list[tuple[int, int, int, int, int]] = []  # cursor, gap, pitch, length, loudness
        cursor = 0
        classes = length_class(notes.length)
        for onset, length, pitch, loudness in zip(
            notes.onset, classes, notes.pitch, notes.loudness, strict=True
        ):
            while onset - cursor >= HORIZON:
                rows.append((cursor, NOTHING, NONE, NONE, NONE))
                cursor += HORIZON
            rows.append((cursor, onset - cursor, pitch - LOWEST, length, loudness))
            cursor = onset + LENGTHS[length]
        while cursor < positions:
            rows.append((cursor, NOTHING, NONE, NONE, NONE))
            cursor += HORIZON
        table = np.array(rows, np.int64).reshape(-1, 5)
        before = np.concatenate(([[0, HORIZON, NONE, NONE, NONE]], table[:-1]))
        cursors, gaps, pitches, lengths, loudnesses = table.T
        return cls(
            cursor=cursors,
            gap=gaps,
            pitch=pitches,
            length=lengths,
            loudness=loudnesses,
            past_pitch=np.where(before[:, 2] == NONE, PITCHES, before[:, 2]),
            past_length=np.where(before[:, 3] == NONE, len(LENGTHS), before[:, 3]),
            past_loudness=np.where(before[:, 4] == NONE, UNKNOWN, before[:, 4]),
            past_gap=before[:, 1],
        )

    def padded(self, steps: int) -> "LineSteps":
        """Return the line with as many steps, of which the added ones choose nothing."""
        fill = {"past_pitch": PITCHES, "past_length": len(LENGTHS)}
        fill |= {"past_loudness": UNKNOWN, "past_gap": HORIZON, "cursor": 0}
        padding = (0, steps - len(self.cursor))
        return LineSteps(
            *(
                np.pad(getattr(self, each.name), padding, constant_values=fill.get(each.name, NONE))
                for each in fields(self)
            )
        )
