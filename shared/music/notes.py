"""A bass line as notes, and as one token per frame.

Frame t stands at the time t / frame_rate, and a time belongs to the nearest frame. Converting
notes to tokens therefore moves them by at most half a frame.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.uint8]

DEFAULT_VELOCITY = 96  # MIDI velocity of a note of which only time and pitch are known


@dataclass(frozen=True)
class Note:
    """A note: onset and duration in seconds, pitch as MIDI number, MIDI velocity."""

    onset: float
    duration: float
    pitch: int
    velocity: int = DEFAULT_VELOCITY

    @property
    def end(self) -> float:
        """Where it ends, in seconds."""
        return self.onset + self.duration


class NoteVocabulary:
    """The tokens of a monophonic line: a rest, or a pitch that starts or continues in this frame.

    The tables have one entry for each token, so that `TABLE[tokens]` translates an array of tokens:

    - PITCHES: int64, the MIDI pitch, -1 for a rest;
    - PITCH_CLASSES: int64, 0 (C) to 11 (B), -1 for a rest;
    - IS_ONSET: bool, whether a note starts.
    """

    LOW = 23  # B0, the lowest note of a five-string bass
    HIGH = 70  # B flat 4, the highest note of its neck
    REST = 0
    size = 1 + 2 * (HIGH - LOW + 1)

    PITCHES = np.array([-1, *np.repeat(np.arange(LOW, HIGH + 1), 2)])
    PITCH_CLASSES = np.where(PITCHES >= 0, PITCHES % 12, -1)
    IS_ONSET = np.array([False, *np.tile([False, True], HIGH - LOW + 1)])

    @classmethod
    def sustain(cls, pitch: int) -> int:
        """Return the token of a frame in which `pitch` continues."""
        return 1 + 2 * (cls.fold(pitch) - cls.LOW)

    @classmethod
    def onset(cls, pitch: int) -> int:
        """Return the token of a frame in which a note of `pitch` starts."""
        return 2 + 2 * (cls.fold(pitch) - cls.LOW)

    @classmethod
    def fold(cls, pitch: int) -> int:
        """Move a pitch by octaves into LOW..HIGH."""
        if pitch < cls.LOW:
            return cls.LOW + (pitch - cls.LOW) % 12
        if pitch > cls.HIGH:
            return cls.HIGH - (cls.HIGH - pitch) % 12
        return pitch

    @classmethod
    def pitches(cls, tokens: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the MIDI pitch of each token, -1 for a rest."""
        return cls.PITCHES[np.asarray(tokens, dtype=np.int64)]

    @classmethod
    def onsets(cls, tokens: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return whether each token starts a note."""
        return cls.IS_ONSET[np.asarray(tokens, dtype=np.int64)]


def notes_to_tokens(notes: Iterable[Note], num_frames: int, frame_rate: float) -> Tokens:
    """Convert notes to tokens `[num_frames]`.

    A later onset ends the earlier note. Of notes that start together the lowest is kept. Every note
    gets its onset frame, however short it is. Notes that start outside the frames are left out.
    """
    tokens = np.full(num_frames, NoteVocabulary.REST, np.uint8)
    for note in sorted(notes, key=lambda note: (note.onset, -note.pitch)):
        start = round(note.onset * frame_rate)
        end = max(start + 1, round(note.end * frame_rate))
        if start < 0 or start >= num_frames:
            continue
        tokens[start] = NoteVocabulary.onset(note.pitch)
        tokens[start + 1 : end] = NoteVocabulary.sustain(note.pitch)
        tokens[end:] = NoteVocabulary.REST
    return tokens


def tokens_to_notes(tokens: npt.ArrayLike, frame_rate: float) -> list[Note]:
    """Convert tokens `[T]` to notes.

    A pitch that continues although no onset came before it becomes a note from its first frame on.
    """
    pitches = NoteVocabulary.pitches(tokens)
    starts = NoteVocabulary.onsets(tokens) | (np.diff(pitches, prepend=-1) != 0)
    edges = np.append(np.flatnonzero(starts), len(pitches))
    return [
        Note(start / frame_rate, (end - start) / frame_rate, int(pitches[start]))
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if pitches[start] >= 0
    ]
