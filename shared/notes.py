"""A bass line as notes, as one token a frame, and as MIDI.

Frame t stands at time t / frame_rate, so a time falls into the nearest frame: rasterising is off by
half a frame at most, and on average by nothing.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from shared.atomic import atomic_path
from shared.errors import UserError
from shared.pitch import PitchTrack, track_pitch

Tokens = npt.NDArray[np.uint8]

FINGERED_BASS = 33  # General MIDI program, counted from 0
BASS_PROGRAMS = range(32, 40)

SHORTEST_NOTE = 0.05  # s; a pitch held for less is a slip of the tracker or an attack's noise
HOLD = 0.7  # semitones; a pitch this near to the note that sounds belongs to it
ATTACK = 0.08  # s; a pitch is found up to this late after its attack


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


def write_midi(path: Path, notes: Iterable[Note], tempo: float = 120.0) -> None:
    """Write the notes as one fingered bass track, atomically. tempo: beats per minute."""
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    bass = pretty_midi.Instrument(FINGERED_BASS, name="bass")
    bass.notes = [
        pretty_midi.Note(note.velocity, note.pitch, note.onset, note.onset + note.duration)
        for note in notes
    ]
    midi.instruments.append(bass)
    with atomic_path(path) as temporary:
        midi.write(str(temporary))


def read_midi(path: Path) -> list[Note]:
    """Notes of a MIDI file in order of onset.

    Of a song the bass tracks, known by program or name; where it has none, all tracks but drums.

    Raises:
        UserError: no such file, not a MIDI file, or no note in it.
    """
    import pretty_midi

    if not path.is_file():
        raise UserError(f"there is no MIDI file {path}: check the path")
    try:
        midi = pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # mido raises whatever the damage leads to
        raise UserError(f"cannot read {path} as MIDI ({error}): give a .mid file") from error
    pitched = [instrument for instrument in midi.instruments if not instrument.is_drum]
    bass = [i for i in pitched if i.program in BASS_PROGRAMS or "bass" in i.name.lower()]
    notes = [
        Note(float(note.start), float(note.end - note.start), note.pitch, note.velocity)
        for instrument in bass or pitched
        for note in instrument.notes
    ]
    if not notes:
        raise UserError(f"{path} holds no notes outside the drums: give a file with a bass line")
    return sorted(notes, key=lambda note: (note.onset, note.pitch))


@dataclass(frozen=True, eq=False)
class TrackedNotes:
    """Note tokens uint8 `[T]` heard in a bass stem; how far to trust each, float32 `[T]` 0..1."""

    tokens: Tokens
    confidence: npt.NDArray[np.float32]


def track_bass_notes(
    samples: npt.NDArray[np.float32], sample_rate: int, num_frames: int, frame_rate: float
) -> TrackedNotes:
    """Listen to a bass stem `[C, N]`: pyin's pitch, cut into notes where it changes or is struck."""
    track = track_pitch(samples, sample_rate, frame_rate)
    notes = segment_notes(track)
    trust = track.confidence.copy()
    for note in notes:
        # The attack is as sure as the note that follows it, though pyin is deaf there.
        sounding = (track.times >= note.onset) & (track.times < note.onset + note.duration)
        trust[sounding] = track.confidence[sounding].mean()
    frame_times = np.arange(num_frames) / frame_rate
    return TrackedNotes(
        tokens=notes_to_tokens(notes, num_frames, frame_rate),
        confidence=np.interp(frame_times, track.times, trust).astype(np.float32),
    )


def segment_notes(track: PitchTrack) -> list[Note]:
    """Notes of a pitch track, in order and without overlap.

    The pitch is rounded to semitones of the line's own tuning: not every record is in 440 Hz.
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
    # A note's attack may lie in what still sounded like the note before.
    ends = [min(stop, after) for (_, stop, _), (after, _, _) in itertools.pairwise(spans)]
    ends += [stop for _, stop, _ in spans[-1:]]
    return [
        Note(start * step, (end - start) * step, number)
        for (start, _, number), end in zip(spans, ends, strict=True)
        if end - start >= shortest
    ]


def _semitones(pitch: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Fractional MIDI pitch in semitones of the line's own tuning; -1 stays -1.

    A semitone is held until the pitch leaves it clearly, so that vibrato and a line tuned between
    two semitones make no notes.
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
