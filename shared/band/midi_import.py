"""A MIDI file of the user's as a score: which track plays which role, and what beats and chords it has.

Roles: channel 10 is drums; General MIDI programs 32-39 and tracks named bass are the bass; tracks
named lead, vocal, voice, vox, melody or sing stand for vocals, else voice and lead programs; the rest
is other. Beats come from the file's own tempo map, chords from its notes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pretty_midi

from shared.band.chords import estimate_chords, estimate_key
from shared.band.score import Part, PitchBend, Score, ScoreNote
from shared.errors import UserError

# MMA names its walking bass Walk.
_BASS_NAME = re.compile(r"\b(bass|walk)\b(?!\s*drum)", re.IGNORECASE)
_VOCAL_NAME = re.compile(r"\b(lead|vocals?|voice|vox|melody|sing\w*)\b", re.IGNORECASE)
_BASS_PROGRAMS = range(32, 40)
_VOCAL_PROGRAMS = (52, 53, 54, *range(80, 88))  # choirs and synthetic voices, leads
_NEEDED = {
    "bass": "bass (General MIDI's programs 33-40, or a track named bass)",
    "drums": "drums (channel 10)",
}
_MIN_SECONDS = 8.0
_TAIL_SECONDS = 1.0  # what the last notes get to ring
_MAX_SECONDS = 1800.0
_DRUM_KEYS = range(27, 88)  # General MIDI 2's kit; other keys are silent in most soundfonts


def find_midi_files(folder: Path) -> list[Path]:
    """The .mid and .midi files below `folder`, sorted. Raises UserError when there are none."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; give a folder of MIDI files")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    if not found:
        raise UserError(f"{folder} holds no .mid or .midi file; give a folder of MIDI files")
    return found


def song_title(path: Path) -> str:
    """The title that near-duplicates share: lower case, without copy numbers and version marks.

    >>> song_title(Path("Blue Train (2).mid")) == song_title(Path("blue_train-v3.mid"))
    True
    """
    words = re.findall(r"[^\W_]+", path.stem.lower())
    while len(words) > 1 and _VERSION_MARK.fullmatch(words[-1]):
        words.pop()
    return " ".join(words)


_VERSION_MARK = re.compile(r"\d+|v(er|ersion)?\d*|copy|final|(re)?mix|alt|gm")


def read_midi_score(path: Path, seconds: float | None = None) -> Score:
    """Read a MIDI file as a score with roles, beats, chords and key.

    Of a song longer than `seconds` that much is kept, from the bar in which the bass sets in.
    Raises UserError, which says why, for a file that cannot be read, has no bass or no drums, or is
    shorter than 8 s or longer than half an hour.
    """
    midi = _parse(path)
    parts = _assign_roles(midi)
    for source, needed in _NEEDED.items():
        if not any(part.source == source for part in parts):
            raise UserError(f"it has no {needed}")
    end = max(note.end for part in parts for note in part.notes) + _TAIL_SECONDS
    if end > _MAX_SECONDS:
        raise UserError(f"it lasts {end / 60:.0f} minutes, more than {_MAX_SECONDS / 60:.0f}")
    beats, downbeats = midi.get_beats(), midi.get_downbeats()
    start = 0.0
    if seconds is not None and end > seconds:
        bass = min(note.onset for part in parts if part.source == "bass" for note in part.notes)
        start = max([0.0, *downbeats[downbeats <= bass + 0.05]])
        start = min(start, max([0.0, *downbeats[downbeats <= end - seconds]]))
        end = min(end, start + seconds)
    if end - start < _MIN_SECONDS:
        raise UserError(f"it lasts {end - start:.1f} s, less than {_MIN_SECONDS:.0f}")
    parts = [part for part in (_cut(part, start, end) for part in parts) if part.notes]
    beats = beats[(beats >= start - 1e-6) & (beats < end)] - start
    downbeats = downbeats[(downbeats >= start - 1e-6) & (downbeats < end)] - start
    signature = next(
        (s for s in reversed(midi.time_signature_changes) if s.time <= start + 0.05), None
    )
    notes = [note for part in parts if not part.is_drum for note in part.notes]
    bass_notes = [note for part in parts if part.source == "bass" for note in part.notes]
    if not bass_notes or len(beats) < 4:
        raise UserError("its bass or its beats do not lie in the part that is kept")
    return Score(
        style="midi",
        tempo=60.0 / float(np.median(np.diff(beats))),
        time_signature=(signature.numerator, signature.denominator) if signature else (4, 4),
        key=estimate_key(notes),
        duration=end - start,
        beats=tuple(map(float, beats)),
        downbeats=tuple(map(float, downbeats)),
        chords=estimate_chords(notes, bass_notes, beats, downbeats, end - start),
        parts=tuple(parts),
    )


def read_parts(path: Path, end: float) -> tuple[Part, ...]:
    """The parts of a MIDI file with their roles, up to `end` (s). Raises UserError as above."""
    parts = (_cut(part, 0.0, end) for part in _assign_roles(_parse(path)))
    return tuple(part for part in parts if part.notes)


def lowest_voice(notes: Sequence[ScoreNote]) -> tuple[ScoreNote, ...]:
    """The lowest line of a polyphonic part, monophonic: the label of a bass that plays chords.

    A note above a lower one is left out, unless the lower one ends before half of it has passed (a
    legato overlap); a later note cuts the earlier.
    """
    line: list[ScoreNote] = []
    for note in sorted(notes, key=lambda note: (note.onset, note.pitch)):
        if line:
            last = line[-1]
            covered = last.end - note.onset
            if note.pitch >= last.pitch and covered > 0.5 * note.duration:
                continue
            gap = note.onset - last.onset
            if gap < 0.03 and covered > 0:  # one chord, struck not quite at once
                line.pop()
            elif covered > 0:
                line[-1] = ScoreNote(last.onset, gap, last.pitch, last.velocity)
        line.append(note)
    return tuple(line)


def _parse(path: Path) -> pretty_midi.PrettyMIDI:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pretty_midi.PrettyMIDI(str(path))
    except Exception as error:  # a damaged file makes the parser raise nearly anything
        raise UserError(
            f"it is not a readable MIDI file ({str(error) or type(error).__name__})"
        ) from error


def _assign_roles(midi: pretty_midi.PrettyMIDI) -> list[Part]:
    parts = []
    for instrument in midi.instruments:
        notes = _notes(instrument)
        if notes:
            source = _source(instrument)
            name = instrument.name.strip() or pretty_midi.program_to_instrument_name(
                instrument.program
            )
            name = "Drums" if instrument.is_drum and not instrument.name.strip() else name
            bends = () if instrument.is_drum else _bends(instrument)
            parts.append(
                Part(source, name, int(instrument.program), instrument.is_drum, notes, bends)
            )
    return parts


def _source(instrument: pretty_midi.Instrument) -> str:
    if instrument.is_drum:
        return "drums"
    if instrument.program in _BASS_PROGRAMS or _BASS_NAME.search(instrument.name):
        return "bass"
    if instrument.program in _VOCAL_PROGRAMS or _VOCAL_NAME.search(instrument.name):
        return "vocals"
    return "other"


def _notes(instrument: pretty_midi.Instrument) -> tuple[ScoreNote, ...]:
    """Its audible notes. Volume (7) and expression (11) are folded into velocity, which is played."""
    loudness = {number: _steps(instrument, number) for number in (7, 11)}
    default = {7: 100.0, 11: 127.0}
    notes = []
    for note in sorted(instrument.notes, key=lambda note: (note.start, note.pitch)):
        if instrument.is_drum and note.pitch not in _DRUM_KEYS:
            continue
        velocity = float(note.velocity)
        for number, (times, values) in loudness.items():
            index = int(np.searchsorted(times, note.start + 1e-4, side="right")) - 1
            velocity *= (values[index] if index >= 0 else default[number]) / default[number]
        if velocity >= 1.0 and note.end > note.start:
            notes.append(
                ScoreNote(
                    float(note.start),
                    float(note.end - note.start),
                    int(note.pitch),
                    min(round(velocity), 127),
                )
            )
    return tuple(notes)


def _steps(instrument: pretty_midi.Instrument, number: int) -> tuple[np.ndarray, np.ndarray]:
    events = sorted(
        (change.time, change.value)
        for change in instrument.control_changes
        if change.number == number
    )
    return np.array([time for time, _ in events]), np.array([value for _, value in events])


def _bends(instrument: pretty_midi.Instrument) -> tuple[PitchBend, ...]:
    """Pitch bends in semitones; their range is RPN 0's data entry (6), two semitones by default."""
    times, values = _steps(instrument, 6)
    selected_times, selected = _steps(instrument, 100)
    bends = []
    for bend in sorted(instrument.pitch_bends, key=lambda bend: bend.time):
        span = 2.0
        index = int(np.searchsorted(times, bend.time, side="right")) - 1
        if index >= 0:
            chosen = int(np.searchsorted(selected_times, times[index], side="right")) - 1
            if chosen >= 0 and selected[chosen] == 0 and 0 < values[index] <= 24:
                span = float(values[index])
        bends.append(PitchBend(float(bend.time), span * bend.pitch / 8192.0))
    return tuple(bends) if any(bend.semitones for bend in bends) else ()


def _cut(part: Part, start: float, end: float) -> Part:
    """The part between `start` and `end`, from time 0. Notes that begin outside are left out."""
    notes = tuple(
        ScoreNote(
            note.onset - start, min(note.duration, end - note.onset), note.pitch, note.velocity
        )
        for note in part.notes
        if start - 0.02 <= note.onset < end - 0.02
    )
    notes = tuple(
        ScoreNote(max(note.onset, 0.0), note.duration, note.pitch, note.velocity) for note in notes
    )
    bends = tuple(
        PitchBend(max(bend.time - start, 0.0), bend.semitones)
        for bend in part.bends
        if bend.time < end
    )
    return Part(part.source, part.name, part.program, part.is_drum, notes, bends)
