"""MIDI files: reading them, writing a bass line, and the rule for which track is the bass.

pretty_midi reads them. symusic, which renders the synthetic band, cannot take its place: of 100
files that were cut short it accepted 29 without notice and aborted the process on 8. mido writes
them, because pretty_midi cannot write tempo changes.
"""

import io
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from shared.atomic import atomic_path
from shared.errors import UserError
from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.key_signature import key_signature
from shared.music.lead_sheet import NO_CHORD
from shared.music.notes import Note
from shared.music.tempo_map import TICKS_PER_QUARTER, TempoMap

if TYPE_CHECKING:
    import pretty_midi
    from mido import Message, MetaMessage, MidiTrack

Timing = Literal["grid", "played", "both"]

FINGERED_BASS = 33  # General MIDI program, counted from 0
BASS_PROGRAMS = range(32, 40)  # General MIDI's basses
BASS_NAME, PLAYED_NAME = "bass", "bass (as played)"  # the tracks that write_midi writes

# A key signature has as many sharps as the first number says, or flats where it is negative, and is
# major or minor. Some programs write others, for which mido refuses the whole file.
_KEY_SIGNATURE = re.compile(rb"\xff\x59\x02(?![\x00-\x07\xf9-\xff][\x00\x01])..", re.DOTALL)
_C_MAJOR = b"\xff\x59\x02\x00\x00"

# Also in compounds such as "RiffBass" and "bass_2".
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")


def is_bass(instrument: "pretty_midi.Instrument") -> bool:
    """Whether a track of a MIDI file is the bass, by its program or a word of its name.

    The word is "bass", or "walk" as MMA names its walking basses. A bassoon, a contrabass section
    and a bass drum are not basses.
    """
    if instrument.is_drum:
        return False
    words = [word.lower() for word in _WORD.findall(instrument.name)]
    named = any(
        word in ("bass", "walk") and following not in ("drum", "drums")
        for word, following in pairwise([*words, ""])
    )
    return named or instrument.program in BASS_PROGRAMS


def parse_midi(path: Path) -> "pretty_midi.PrettyMIDI":
    """Parse a MIDI file.

    Raises:
        UserError: it cannot be parsed. The sentence does not name the file.
    """
    import pretty_midi
    from mido.midifiles.meta import KeySignatureError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return pretty_midi.PrettyMIDI(str(path))
            except KeySignatureError:
                content = _KEY_SIGNATURE.sub(_C_MAJOR, path.read_bytes())
                return pretty_midi.PrettyMIDI(io.BytesIO(content))
    except Exception as error:  # a damaged file makes the parser raise nearly anything
        cause = str(error) or type(error).__name__
        raise UserError(f"it is not a readable MIDI file ({cause})") from error


def read_midi(path: Path) -> list[Note]:
    """Read the bass line of a MIDI file, in order of onset.

    If no track is the bass, the line is made of all tracks but the drums. Of the two tracks that
    `write_midi` writes of the same line, the one on the grid is taken.

    Raises:
        UserError: there is no such file, it is not a MIDI file, or it holds no such notes.
    """
    if not path.is_file():
        raise UserError(f"there is no MIDI file {path}: check the path")
    try:
        midi = parse_midi(path)
    except UserError as error:
        raise UserError(f"cannot use {path}, because {error}: give a .mid file") from error
    pitched = [instrument for instrument in midi.instruments if not instrument.is_drum]
    names = {instrument.name for instrument in pitched}
    if BASS_NAME in names:
        pitched = [instrument for instrument in pitched if instrument.name != PLAYED_NAME]
    notes = [
        Note(float(note.start), float(note.end - note.start), note.pitch, note.velocity)
        for instrument in list(filter(is_bass, pitched)) or pitched
        for note in instrument.notes
    ]
    if not notes:
        raise UserError(f"{path} holds no notes outside the drums: give a file with a bass line")
    return sorted(notes, key=lambda note: (note.onset, note.pitch))


@dataclass(frozen=True, eq=False)
class MidiScore:
    """What a MIDI file says of a song beside its notes.

    Attributes:
        grid: the beats and bars of the song.
        key: a tonic and a mode, such as `G# minor`; None where it is not known.
        chords: the chords of the song, in order.
    """

    grid: BarGrid
    key: str | None = None
    chords: tuple[Chord, ...] = ()


def write_midi(
    path: Path,
    notes: Iterable[Note],
    score: MidiScore | None = None,
    timing: Timing = "grid",
    tempo: float = 120.0,
) -> None:
    """Write a bass line as a track of fingered bass. The file appears whole or not at all.

    With a score, the file has the song's beats and bars (tempo_map.py says how they fit the audio),
    its key signature, and its chords as markers.

    Args:
        path: the file to write.
        notes: the bass line as it is played.
        score: the song; without it, notes are written as they are played.
        timing: "grid" moves the notes to the nearest positions of the grid, "played" leaves them
            where they are, and "both" writes a track of each.
        tempo: of a file without a score, in beats per minute. It does not change the times of the
            notes.

    Raises:
        UserError: the tempo of the song cannot be written (tempo_map.py).
    """
    from mido import MidiFile

    line = sorted(notes, key=lambda note: (note.onset, note.pitch))
    if score is None:
        ticking = TempoMap.of(BarGrid(np.array([0.0, 60 / tempo]), np.array([0])))
        tracks = [_tempo_track(ticking), _track(BASS_NAME, 0, _played(line, ticking))]
    else:
        ticking = TempoMap.of(score.grid)
        tracks = [_score_track(score, ticking)]
        if timing != "played":
            tracks.append(_track(BASS_NAME, 0, _on_grid(line, ticking)))
        if timing != "grid":
            name = BASS_NAME if timing == "played" else PLAYED_NAME
            tracks.append(_track(name, len(tracks) - 1, _played(line, ticking)))
    midi = MidiFile(type=1, ticks_per_beat=TICKS_PER_QUARTER)
    midi.tracks.extend(tracks)
    with atomic_path(path) as temporary:
        midi.save(str(temporary))


@dataclass(frozen=True)
class _TickNote:
    """A note from one tick to another."""

    start: int
    end: int
    pitch: int
    velocity: int


def _played(notes: Sequence[Note], ticking: TempoMap) -> list[_TickNote]:
    """Place notes where they are played. A note ends where its pitch begins again."""
    placed: dict[int, list[_TickNote]] = {}
    for note in notes:
        start, end = ticking.ticks_at([note.onset, note.end]).tolist()
        same = placed.setdefault(note.pitch, [])
        if same and same[-1].end > start:
            same[-1] = replace(same[-1], end=start)
        same.append(_TickNote(start, max(end, start + 1), note.pitch, note.velocity))
    return [note for line in placed.values() for note in line if note.end > note.start]


def _on_grid(notes: Sequence[Note], ticking: TempoMap) -> list[_TickNote]:
    """Move the notes of a line to the nearest positions of the grid.

    A note lasts at least one position, and at most to the onset of the next. Of notes that come to
    the same position, the longest is kept.
    """
    grid = ticking.grid
    kept: dict[int, Note] = {}
    for note in notes:
        place = int(np.rint(grid.position_of(note.onset)))
        if place not in kept or note.duration > kept[place].duration:
            kept[place] = note
    places = sorted(kept)
    placed = []
    for place, following in zip(places, [*places[1:], math.inf], strict=False):
        note = kept[place]
        end = min(max(place + 1, int(np.rint(grid.position_of(note.end)))), following)
        start_tick, end_tick = ticking.ticks_of([place, end]).tolist()
        if end_tick > start_tick:
            placed.append(_TickNote(start_tick, end_tick, note.pitch, note.velocity))
    return placed


def _track(name: str, channel: int, notes: Iterable[_TickNote]) -> "MidiTrack":
    """Write notes as a track of fingered bass; where two meet, one ends before the next begins."""
    from mido import Message, MetaMessage

    events: list[tuple[int, int, Message | MetaMessage]] = [
        (0, 0, MetaMessage("track_name", name=name)),
        (0, 1, Message("program_change", channel=channel, program=FINGERED_BASS)),
    ]
    for note in notes:
        sound = {"channel": channel, "note": note.pitch}
        velocity = min(max(note.velocity, 1), 127)
        events.append((note.start, 3, Message("note_on", velocity=velocity, **sound)))
        events.append((note.end, 2, Message("note_off", velocity=0, **sound)))
    return _in_order(events)


def _tempo_track(ticking: TempoMap) -> "MidiTrack":
    return _in_order(_tempo_events(ticking))


def _score_track(score: MidiScore, ticking: TempoMap) -> "MidiTrack":
    """Write everything but the notes: tempi, time signatures, key signature and chords."""
    from mido import MetaMessage

    events = _tempo_events(ticking)
    before = None
    for bar in ticking.bars:
        if (bar.beats, bar.unit) != before:
            before = bar.beats, bar.unit
            signature = MetaMessage("time_signature", numerator=bar.beats, denominator=bar.unit)
            events.append((bar.tick, 1, signature))
    signature_key = None if score.key is None else key_signature(score.key)
    if signature_key is not None:
        events.append((0, 2, MetaMessage("key_signature", key=signature_key)))
    for tick, text in _markers(score, ticking):
        events.append((tick, 3, MetaMessage("marker", text=text)))
    return _in_order(events)


def _tempo_events(ticking: TempoMap) -> list[tuple[int, int, "Message | MetaMessage"]]:
    from mido import MetaMessage

    changes = np.flatnonzero(np.diff(ticking.tempi, prepend=0))
    return [
        (int(ticking.ticks[index]), 0, MetaMessage("set_tempo", tempo=int(ticking.tempi[index])))
        for index in changes
    ]


def _markers(score: MidiScore, ticking: TempoMap) -> list[tuple[int, str]]:
    """Return a marker for each chord, and for each gap between two of them."""
    markers: list[tuple[int, str]] = []
    silent_from = math.inf
    for chord in score.chords:
        start, end = np.rint(score.grid.position_of([chord.start, chord.end])).tolist()
        if start > silent_from:
            markers.append((int(ticking.ticks_of(silent_from)), NO_CHORD))
        markers.append((int(ticking.ticks_of(start)), chord.symbol))
        silent_from = end
    return markers


def _in_order(events: "Iterable[tuple[int, int, Message | MetaMessage]]") -> "MidiTrack":
    """Sort events by tick and by their order within a tick, and write the time between them."""
    from mido import MidiTrack

    track, now = MidiTrack(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track
