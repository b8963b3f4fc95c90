"""Notes of a bass stem, found by a pitch tracker."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from shared.music.notes import Note, Tokens, notes_to_tokens
from shared.music.pitch import PitchTrack, track_pitch

SHORTEST_NOTE = 0.05  # s; a shorter pitch is an error of the tracker or the noise of an attack
HOLD = 0.7  # semitones; a pitch this near to the note that sounds belongs to that note
ATTACK = 0.08  # s; the tracker may find a pitch this late after its attack


@dataclass(frozen=True, eq=False)
class TrackedNotes:
    """Notes that were found in a bass stem.

    Attributes:
        tokens: note tokens (shared/music/notes.py), uint8 `[T]`.
        confidence: how far to trust each token, from 0 to 1, float32 `[T]`.
    """

    tokens: Tokens
    confidence: npt.NDArray[np.float32]


def track_bass_notes(
    samples: npt.NDArray[np.float32], sample_rate: int, num_frames: int, frame_rate: float
) -> TrackedNotes:
    """Find the notes of a bass stem.

    The pitch is tracked by pyin, and cut into notes where it changes and where there is an attack.

    Args:
        samples: the stem, `[C, N]`.
        sample_rate: of the samples, in Hz.
        num_frames: how many tokens to return.
        frame_rate: of the tokens, in Hz.
    """
    track = track_pitch(samples, sample_rate, frame_rate)
    notes = segment_notes(track)
    trust = track.confidence.copy()
    for note in notes:
        # pyin finds no pitch in an attack, but the attack is as sure as the note that follows.
        sounding = (track.times >= note.onset) & (track.times < note.onset + note.duration)
        trust[sounding] = track.confidence[sounding].mean()
    frame_times = np.arange(num_frames) / frame_rate
    return TrackedNotes(
        tokens=notes_to_tokens(notes, num_frames, frame_rate),
        confidence=np.interp(frame_times, track.times, trust).astype(np.float32),
    )


def segment_notes(track: PitchTrack) -> list[Note]:
    """Cut a pitch track into notes, in order and without overlap.

    The pitch is rounded to semitones of the line's own tuning, because not every recording is tuned
    to 440 Hz.
    """
    step = float(track.times[1]) if len(track.times) > 1 else 1.0
    shortest, late = round(SHORTEST_NOTE / step), round(ATTACK / step)
    steady = median_filter(
        np.nan_to_num(track.pitch, nan=-1), size=2 * shortest + 1, mode="nearest"
    )
    pitch = _semitones(steady)
    attacks = np.round(track.onsets / step).astype(int)

    spans: list[tuple[int, int, int]] = []  # first frame, frame after the last, pitch
    edges = np.flatnonzero(np.diff(pitch, prepend=-1, append=-1) != 0)
    for begin, end in itertools.pairwise(edges.tolist()):
        if pitch[begin] < 0 or end - begin <= shortest:
            continue
        opening = attacks[(attacks >= begin - late) & (attacks <= begin + 1)]
        repeats = attacks[(attacks > begin + late) & (attacks < end - late)]
        first = opening[-1] if len(opening) else begin
        for start, stop in itertools.pairwise([int(first), *repeats.tolist(), end]):
            spans.append((start, stop, int(pitch[begin])))
    # An attack may lie in frames whose pitch is still that of the note before.
    ends = [min(stop, after) for (_, stop, _), (after, _, _) in itertools.pairwise(spans)]
    ends += [stop for _, stop, _ in spans[-1:]]
    return [
        Note(start * step, (end - start) * step, number)
        for (start, _, number), end in zip(spans, ends, strict=True)
        if end - start >= shortest
    ]


def _semitones(pitch: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Round fractional MIDI pitches to semitones of the line's own tuning; -1 stays -1.

    A semitone is kept until the pitch leaves it clearly. Otherwise vibrato, or a line tuned between
    two semitones, would be cut into many notes.
    """
    sounding = pitch >= 0
    detuning = np.angle(np.exp(2j * np.pi * pitch[sounding]).sum()) / (2 * np.pi)
    semitones = np.full(len(pitch), -1)
    held = -1
    for frame, value in enumerate(pitch - detuning):
        if not sounding[frame]:
            held = -1
        elif held < 0 or abs(value - held) > HOLD:
            held = round(value)
        semitones[frame] = held
    return semitones
