"""What the performer reads of the notes that it has to play: its score.

The notes of a line are known before it is played, so the score says at each frame not only what
sounds, but also what follows: a player damps a string before a rest, and slides to a note that is
near. A score is a table of classes `[ROWS, T]`. In every row, HIDDEN stands where something is not
known.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from shared.music.notes import Note, NoteVocabulary
from stage2_prior.loudness import LOUDNESSES, UNKNOWN_LOUDNESS, loudness_of_velocities
from stage2_prior.performer.tone import TONES

Tokens = npt.NDArray[np.integer]
Score = npt.NDArray[np.int64]

HIDDEN = 0  # as a tone, this is UNKNOWN_TONE
NOTHING = 1  # in the rows about the length and the next note: no note sounds, or none follows

# Lengths in frames are told apart exactly where they are short, and roughly where they are long.
BUCKETS = np.array([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 29, 35, 42, 50, 64, 80, 100])
HORIZON = int(BUCKETS[-1])  # frames; a note that follows later is not told

# The rows, and the number of classes of each.
NOTE, REMAINING, NEXT_PITCH, UNTIL_NEXT, LOUDNESS, TONE = range(6)
SIZES = (
    1 + NoteVocabulary.size,
    2 + len(BUCKETS),
    2 + NoteVocabulary.HIGH - NoteVocabulary.LOW + 1,
    2 + len(BUCKETS),
    1 + LOUDNESSES,
    len(TONES),
)
ROWS = len(SIZES)


def make_score(tokens: Tokens, loudness: Tokens | None, tone: int) -> Score:
    """Describe the notes of a line, frame by frame.

    Args:
        tokens: note tokens `[T]`.
        loudness: classes of loudness `[T]` (loudness.py); None if none is known.
        tone: the tone (tone.py).

    Returns:
        A table `[ROWS, T]` with the note, the frames until it ends, the pitch of the note that
        follows, the frames until that begins, the loudness, and the tone.
    """
    frames = len(tokens)
    pitches = NoteVocabulary.pitches(tokens)
    changes = NoteVocabulary.onsets(tokens) | (np.diff(pitches, prepend=-1) != 0)
    following = _following(changes & (pitches >= 0))
    exists = (following < frames) & (following - np.arange(frames) <= HORIZON)
    next_pitch = pitches[np.minimum(following, frames - 1)]
    score = np.zeros((ROWS, frames), np.int64)
    score[NOTE] = 1 + tokens.astype(np.int64)
    remaining = _bucket(_following(changes) - np.arange(frames))
    score[REMAINING] = np.where(pitches >= 0, remaining, NOTHING)
    score[NEXT_PITCH] = np.where(exists, 2 + next_pitch - NoteVocabulary.LOW, NOTHING)
    score[UNTIL_NEXT] = np.where(exists, _bucket(following - np.arange(frames)), NOTHING)
    if loudness is not None:
        score[LOUDNESS] = np.where(pitches >= 0, 1 + loudness, HIDDEN)
    score[TONE] = tone
    return score


def hide_notes(score: Score) -> Score:
    """Return a score `[ROWS, T]` in which nothing but the tone is known, as for note guidance."""
    hidden = np.full_like(score, HIDDEN)
    hidden[TONE] = score[TONE]
    return hidden


def loudness_of(notes: Iterable[Note], num_frames: int, frame_rate: float) -> npt.NDArray[np.int64]:
    """Return the classes of loudness `[num_frames]` of a line; unknown in rests (loudness.py)."""
    loudness = np.full(num_frames, UNKNOWN_LOUDNESS, np.int64)
    ordered = sorted(notes, key=lambda note: (note.onset, -note.pitch))  # as in notes_to_tokens
    classes = loudness_of_velocities([note.velocity for note in ordered])
    for note, value in zip(ordered, classes.tolist(), strict=True):
        start = round(note.onset * frame_rate)
        end = max(start + 1, round(note.end * frame_rate))
        if 0 <= start < num_frames:
            loudness[start:end] = value
            loudness[end:] = UNKNOWN_LOUDNESS
    return loudness


def _following(marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return for each frame the next later frame with a mark; the number of frames if none."""
    frames = len(marks)
    places = np.append(np.flatnonzero(marks), frames)
    return places[np.searchsorted(places[:-1], np.arange(frames), side="right")]


def _bucket(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the classes of lengths of at least one frame."""
    return 1 + np.searchsorted(BUCKETS, lengths, side="right").astype(np.int64)
