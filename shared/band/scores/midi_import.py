"""The user's MIDI files as scores: the role of each track, and the song's beats, chords and key.

Channel 10 is drums. Which track is the bass, `shared.music.midi` decides. Vocals are the tracks
whose name has one of the words lead, vocal, voice, vox, melody or sing, or whose program is a
voice or a synthesiser's lead. All other tracks are accompaniment. Beats come from the file's own
tempo changes, and chords are estimated from its notes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pretty_midi

from shared.band.scores.score import Part, PitchBend, Score
from shared.errors import UserError
from shared.music.chord_estimation import estimate_chords
from shared.music.key_estimation import estimate_key
from shared.music.midi import is_bass, parse_midi
from shared.music.notes import Note
from shared.music.song_facts import SongFacts

_VOCAL_NAME = re.compile(r"\b(lead|vocals?|voice|vox|melody|sing\w*)\b", re.IGNORECASE)
_VOCAL_PROGRAMS = (52, 53, 54, *range(80, 88))  # choirs and synthetic voices, leads
_NEEDED = {
    "bass": "bass (General MIDI's programs 33-40, or a track named bass)",
    "drums": "drums (channel 10)",
}
_MIN_SECONDS = 8.0
_MAX_SECONDS = 1800.0
_MAX_BEATS = 30_000
_TAIL_SECONDS = 1.0  # in which the last notes die away
_DRUM_KEYS = range(27, 88)  # General MIDI 2's kit; most soundfonts have no other keys
_VOLUME, _EXPRESSION, _DATA_ENTRY, _PARAMETER = 7, 11, 6, 100  # MIDI controllers


def read_midi_score(path: Path, seconds: float | None = None) -> Score:
    """Read a MIDI file as a score with roles, beats, chords and key.

    Args:
        path: the file.
        seconds: how much of a longer song is kept, from the bar on in which the bass begins; None
            keeps all of it.

    Raises:
        UserError: the file cannot be read, has no bass or no drums, is shorter than 8 s or longer
            than half an hour, or has an absurd tempo or meter. The sentence does not name the file.
    """
    midi = parse_midi(path)
    parts = _assign_roles(midi)
    for source, needed in _NEEDED.items():
        if not any(part.source == source for part in parts):
            raise UserError(f"it has no {needed}")
    end = max(note.end for part in parts for note in part.notes) + _TAIL_SECONDS
    if end > _MAX_SECONDS:
        raise UserError(f"it lasts {end / 60:.0f} minutes, more than {_MAX_SECONDS / 60:.0f}")
    beats, downbeats = _beats(midi)
    start, end = _kept_range(parts, downbeats, end, seconds)
    if end - start < _MIN_SECONDS:
        raise UserError(f"it lasts {end - start:.1f} s, less than {_MIN_SECONDS:.0f}")
    parts = [part for part in (_cut(part, start, end) for part in parts) if part.notes]
    beats, downbeats = _cut_times(beats, start, end), _cut_times(downbeats, start, end)
    notes = [note for part in parts if not part.is_drum for note in part.notes]
    bass_notes = [note for part in parts if part.source == "bass" for note in part.notes]
    if not bass_notes or len(beats) < 4:
        raise UserError("its bass or its beats do not lie in the part that is kept")
    tempo, signature = 60.0 / float(np.median(np.diff(beats))), _time_signature(midi, start)
    # An absurd value is refused here, so that song.json can always be read.
    SongFacts.from_dict({"tempo": tempo, "time_signature": list(signature)}, "it")
    return Score(
        style="midi",
        tempo=tempo,
        time_signature=signature,
        key=estimate_key(notes),
        duration=end - start,
        beats=tuple(map(float, beats)),
        downbeats=tuple(map(float, downbeats)),
        chords=estimate_chords(notes, bass_notes, beats, downbeats, end - start),
        parts=tuple(parts),
    )


def read_parts(path: Path, end: float) -> tuple[Part, ...]:
    """Read the parts of a MIDI file with their roles, up to `end` (s).

    Raises:
        UserError: the file cannot be read.
    """
    parts = (_cut(part, 0.0, end) for part in _assign_roles(parse_midi(path)))
    return tuple(part for part in parts if part.notes)


def _beats(midi: pretty_midi.PrettyMIDI) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of the beats and of the downbeats in seconds.

    A file of a few bytes can ask for more beats than fit into memory, so they are counted first.
    """
    quarters = midi.time_to_tick(midi.get_end_time()) / midi.resolution
    per_quarter = max([1.0, *(s.denominator / 4 for s in midi.time_signature_changes)])
    if quarters * per_quarter > _MAX_BEATS:
        count = quarters * per_quarter
        raise UserError(f"it has {count:,.0f} beats, more than {_MAX_BEATS:,}")
    return midi.get_beats(), midi.get_downbeats()


def _kept_range(
    parts: Sequence[Part], downbeats: np.ndarray, end: float, seconds: float | None
) -> tuple[float, float]:
    """Choose where the kept part of a song begins and ends, in seconds."""
    if seconds is None or end <= seconds:
        return 0.0, end
    bass = min(note.onset for part in parts if part.source == "bass" for note in part.notes)
    start = max([0.0, *downbeats[downbeats <= bass + 0.05]])
    start = min(start, max([0.0, *downbeats[downbeats <= end - seconds]]))
    return start, min(end, start + seconds)


def _time_signature(midi: pretty_midi.PrettyMIDI, start: float) -> tuple[int, int]:
    for signature in reversed(midi.time_signature_changes):
        if signature.time <= start + 0.05:
            return signature.numerator, signature.denominator
    return 4, 4


def _assign_roles(midi: pretty_midi.PrettyMIDI) -> list[Part]:
    parts = []
    for instrument in midi.instruments:
        notes = _audible_notes(instrument)
        if notes:
            bends = () if instrument.is_drum else _bends(instrument)
            parts.append(
                Part(
                    _source(instrument),
                    _name(instrument),
                    int(instrument.program),
                    instrument.is_drum,
                    notes,
                    bends,
                )
            )
    return parts


def _source(instrument: pretty_midi.Instrument) -> str:
    if instrument.is_drum:
        return "drums"
    if is_bass(instrument):
        return "bass"
    if instrument.program in _VOCAL_PROGRAMS or _VOCAL_NAME.search(instrument.name):
        return "vocals"
    return "other"


def _name(instrument: pretty_midi.Instrument) -> str:
    if instrument.name.strip():
        return str(instrument.name.strip())
    if instrument.is_drum:
        return "Drums"
    return pretty_midi.program_to_instrument_name(instrument.program)


def _audible_notes(instrument: pretty_midi.Instrument) -> tuple[Note, ...]:
    """Return the notes that sound, with velocities that contain the volume and the expression."""
    loudness = [
        (*_controller(instrument, number), default)
        for number, default in ((_VOLUME, 100.0), (_EXPRESSION, 127.0))
    ]
    notes = []
    for note in sorted(instrument.notes, key=lambda note: (note.start, note.pitch)):
        if instrument.is_drum and note.pitch not in _DRUM_KEYS:
            continue
        velocity = float(note.velocity)
        for times, values, default in loudness:
            index = int(np.searchsorted(times, note.start + 1e-4, side="right")) - 1
            velocity *= (values[index] if index >= 0 else default) / default
        if velocity >= 1.0 and note.end > note.start:
            start, end = float(note.start), float(note.end)
            notes.append(Note(start, end - start, int(note.pitch), min(round(velocity), 127)))
    return tuple(notes)


def _controller(instrument: pretty_midi.Instrument, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the times (s) and the values of a controller's changes."""
    events = sorted(
        (change.time, change.value)
        for change in instrument.control_changes
        if change.number == number
    )
    return np.array([time for time, _ in events]), np.array([value for _, value in events])


def _bends(instrument: pretty_midi.Instrument) -> tuple[PitchBend, ...]:
    """Return the pitch bends in semitones.

    Their range is the data entry (controller 6) for parameter 0, or two semitones without one.
    """
    times, values = _controller(instrument, _DATA_ENTRY)
    selected_times, selected = _controller(instrument, _PARAMETER)
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
    """Cut a part from `start` to `end`, which then begins at 0.

    Notes that begin outside are left out.
    """
    notes = tuple(
        Note(
            max(note.onset - start, 0.0),
            min(note.duration, end - note.onset),
            note.pitch,
            note.velocity,
        )
        for note in part.notes
        if start - 0.02 <= note.onset < end - 0.02
    )
    bends = tuple(
        PitchBend(max(bend.time - start, 0.0), bend.semitones)
        for bend in part.bends
        if bend.time < end
    )
    return Part(part.source, part.name, part.program, part.is_drum, notes, bends)


def _cut_times(times: np.ndarray, start: float, end: float) -> np.ndarray:
    """Cut times from `start` to `end`, which then begin at 0."""
    return np.maximum(times[(times >= start - 1e-6) & (times < end)] - start, 0.0)
