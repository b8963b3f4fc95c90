"""A bass line as notes and as one token per frame.

Frame t stands at time t / frame_rate, and a time belongs to the nearest frame, so that converting
notes to tokens moves them by at most half a frame.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Note:
    """A note: onset and duration in s, pitch as MIDI number, MIDI velocity."""

    onset: float
    duration: float
    pitch: int
    velocity: int = 96


class NoteVocabulary:
    """Tokens of a monophonic line: a rest, or a pitch held or struck in this frame."""

    LOW = 23  # B0, a five-string bass's lowest
    HIGH = 70  # B flat 4, the top of its neck
    REST = 0
    size = 1 + 2 * (HIGH - LOW + 1)

    @classmethod
    def sustain(cls, pitch: int) -> int:
        """Token of a frame in which `pitch` sounds on."""
        return 1 + 2 * (cls.fold(pitch) - cls.LOW)

    @classmethod
    def onset(cls, pitch: int) -> int:
        """Token of the frame in which `pitch` is struck."""
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
        """MIDI pitch of each token, -1 for a rest."""
        tokens = np.asarray(tokens, dtype=np.int64)
        return np.where(tokens == cls.REST, -1, cls.LOW + (tokens - 1) // 2)

    @classmethod
    def onsets(cls, tokens: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each token strikes a note."""
        tokens = np.asarray(tokens, dtype=np.int64)
        return (tokens != cls.REST) & (tokens % 2 == 0)


def notes_to_tokens(notes: Iterable[Note], num_frames: int, frame_rate: float) -> Tokens:
    """Notes -> tokens `[num_frames]`.

    A later onset cuts the earlier note; of notes struck together the lowest stays. Every note gets
    its onset frame, however short it is. What lies outside the frames is left out.
    """
    tokens = np.full(num_frames, NoteVocabulary.REST, np.uint8)
    for note in sorted(notes, key=lambda note: (note.onset, -note.pitch)):
        start = round(note.onset * frame_rate)
        end = max(start + 1, round((note.onset + note.duration) * frame_rate))
        if start < 0 or start >= num_frames:
            continue
        tokens[start] = NoteVocabulary.onset(note.pitch)
        tokens[start + 1 : end] = NoteVocabulary.sustain(note.pitch)
        tokens[end:] = NoteVocabulary.REST
    return tokens


def tokens_to_notes(tokens: npt.ArrayLike, frame_rate: float) -> list[Note]:
    """Tokens `[T]` -> notes. A held pitch that nothing struck is a note from where it begins."""
    pitches = NoteVocabulary.pitches(tokens)
    starts = NoteVocabulary.onsets(tokens) | (np.diff(pitches, prepend=-1) != 0)
    edges = np.append(np.flatnonzero(starts), len(pitches))
    return [
        Note(start / frame_rate, (end - start) / frame_rate, int(pitches[start]))
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if pitches[start] >= 0
    ]
