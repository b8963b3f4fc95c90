"""What is known of a song: the content of its `song.json`, with every value checked on entry.

Times are seconds from the beginning of the song, pitches are MIDI numbers, and pitch classes are
integers from 0 (C) to 11 (B). In the file, a fact that is left out or `null` is not known. Keys
that are not listed here are allowed, and are kept when the facts are written again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from shared.errors import UserError
from shared.music.chord import QUALITIES, Chord, transpose_key
from shared.music.notes import DEFAULT_VELOCITY, Note

MAX_SECONDS = 1e6
MAX_TEMPO = 2000.0  # beats per minute
# Older data sets hold beats that rounding put just before the beginning of the song.
EARLIEST = -1e-3  # s

T = TypeVar("T")


@dataclass(frozen=True)
class SongChord:
    """A chord of a song. Facts that are not known are None.

    Attributes:
        start: where it begins, in seconds.
        end: where it ends, in seconds.
        root: pitch class of the root; None where no chord sounds, or nobody could name it.
        quality: usually a key of `shared.music.chord.QUALITIES`, but any name is allowed.
        bass: pitch class of the lowest note of a slash chord.
        pitch_classes: the chord's tones.
        symbol: the chord symbol.
    """

    start: float
    end: float
    root: int | None = None
    quality: str | None = None
    bass: int | None = None
    pitch_classes: tuple[int, ...] | None = None
    symbol: str | None = None

    @classmethod
    def of(cls, chord: Chord) -> SongChord:
        """Describe a chord of a known quality."""
        return cls(
            chord.start,
            chord.end,
            chord.root,
            chord.quality,
            chord.bass,
            chord.pitch_classes,
            chord.symbol,
        )

    @property
    def lowest(self) -> int | None:
        """Pitch class of the lowest note: the bass note, or the root where none is given."""
        return self.root if self.bass is None else self.bass

    @property
    def tones(self) -> frozenset[int]:
        """Pitch classes of the chord, its bass among them; empty where they are not known."""
        tones = self.pitch_classes
        if tones is None and self.root is not None and self.quality in QUALITIES:
            tones = tuple((self.root + step) % 12 for step in QUALITIES[self.quality][0])
        if tones is None or self.lowest is None:
            return frozenset()
        return frozenset((*tones, self.lowest))


@dataclass(frozen=True)
class SongFacts:
    """What is known of a song. Facts that are not known are None or empty.

    Attributes:
        tempo: beats per minute.
        meter: the time signature's two numbers, such as (6, 8).
        key: a tonic and a mode, such as `G# minor`.
        duration: length of the song in seconds.
        style: a word for the kind of music.
        beats: times of the beats, rising.
        downbeats: times of the first beats of the bars, rising.
        chords: the chords in the order of their beginnings.
        bass_notes: the notes of the bass in the order of their onsets; None where they are not
            known, empty where it is known that the bass does not play. A note whose velocity is
            not known has the one that `Note` has by default.
        bass_program: the instrument that plays the bass, as a General MIDI program from 0 to 127.
        content: the JSON object that the facts were read from, which may hold more.
    """

    tempo: float | None = None
    meter: tuple[int, int] | None = None
    key: str | None = None
    duration: float | None = None
    style: str | None = None
    beats: tuple[float, ...] = ()
    downbeats: tuple[float, ...] = ()
    chords: tuple[SongChord, ...] = ()
    bass_notes: tuple[Note, ...] | None = None
    bass_program: int | None = None
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_dict(cls, content: Any, origin: str) -> SongFacts:
        """Check the content of a `song.json`, and give every fact its type.

        Args:
            content: the value that the JSON text stands for.
            origin: what the error message calls the place that the content comes from.

        Raises:
            UserError: a value has the wrong type, is out of range or missing, or times do not rise.
        """
        song = _Fields(content, origin)
        chords = song.list_of("chords", _chord)
        notes = song.list_of("bass_notes", _note)
        song.require_rising("chords", [chord.start for chord in chords or ()])
        song.require_rising("bass_notes", [note.onset for note in notes or ()])
        return cls(
            tempo=song.optional("tempo", _tempo),
            meter=song.optional("time_signature", _meter),
            key=song.optional("key", _key),
            duration=song.optional("duration", _time),
            style=song.optional("style", _text),
            beats=song.times("beats"),
            downbeats=song.times("downbeats"),
            chords=chords or (),
            bass_notes=notes,
            bass_program=song.optional("bass_program", _program),
            content=content,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a `song.json`: the facts, and whatever else `content` holds."""
        facts = {
            "tempo": self.tempo,
            "time_signature": None if self.meter is None else list(self.meter),
            "key": self.key,
            "duration": self.duration,
            "style": self.style,
            "beats": list(self.beats) or None,
            "downbeats": list(self.downbeats) or None,
            "chords": self._entries("chords", self.chords, _chord_to_dict) or None,
            "bass_notes": None
            if self.bass_notes is None
            else self._entries("bass_notes", self.bass_notes, _note_to_dict),
            "bass_program": self.bass_program,
        }
        return _written_over(self.content, facts)

    def _entries(
        self,
        name: str,
        facts: Sequence[T],
        to_dict: Callable[[T, Mapping[str, Any]], dict[str, Any]],
    ) -> list[dict[str, Any]]:
        """Write each fact of a list over the entry of `content` that it was read from."""
        before = self.content.get(name)
        if before is None:
            before = [{}] * len(facts)
        return [
            _written_over(old, to_dict(fact, old)) for old, fact in zip(before, facts, strict=True)
        ]


def read_song_facts(path: Path) -> SongFacts:
    """Read a `song.json`.

    Raises:
        UserError: the file cannot be read, is not JSON, or holds a value that it must not hold.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path} ({error}): mend or remove it") from error
    return SongFacts.from_dict(content, str(path))


class _Invalid(Exception):
    """A value is wrong. The message says what it must be."""


class _Fields:
    """The fields of a JSON object, read with a check that turns a value into its type or raises."""

    def __init__(self, content: Any, origin: str, where: str = "") -> None:
        self.origin, self.where = origin, where
        if not isinstance(content, Mapping):
            name = where.rstrip(".") or "the content"
            raise self.error(name, content, "a JSON object", quoted=bool(where))
        self.content = content

    def error(self, name: str, value: Any, expected: str, quoted: bool = True) -> UserError:
        shown = json.dumps(value, default=str)
        shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
        name = f"'{name}'" if quoted else name
        return UserError(
            f"{name} in {self.origin} is {shown}, but it must be {expected}: mend or remove it"
        )

    def check(self, name: str, value: Any, check: Callable[[Any], T]) -> T:
        try:
            return check(value)
        except _Invalid as error:
            raise self.error(f"{self.where}{name}", value, str(error)) from None

    def optional(self, name: str, check: Callable[[Any], T]) -> T | None:
        value = self.content.get(name)
        return None if value is None else self.check(name, value, check)

    def required(self, name: str, check: Callable[[Any], T]) -> T:
        if name not in self.content:
            place = self.where.rstrip(".")
            raise UserError(f"'{place}' in {self.origin} has no '{name}': add it")
        return self.check(name, self.content[name], check)

    def times(self, name: str) -> tuple[float, ...]:
        values = self.optional(name, _list) or ()
        times = tuple(self.check(f"{name}[{i}]", time, _time) for i, time in enumerate(values))
        self.require_rising(name, times, strictly=True)
        return times

    def list_of(self, name: str, read: Callable[[_Fields], T]) -> tuple[T, ...] | None:
        values = self.optional(name, _list)
        if values is None:
            return None
        return tuple(
            read(_Fields(value, self.origin, f"{name}[{i}].")) for i, value in enumerate(values)
        )

    def require_rising(self, name: str, times: Sequence[float], strictly: bool = False) -> None:
        for index, (before, after) in enumerate(pairwise(times), 1):
            if after < before or (strictly and after == before):
                raise UserError(
                    f"'{name}[{index}]' in {self.origin} is at {after:g} s, not later than the "
                    f"one before it at {before:g} s: sort the list by time"
                )


def _chord(fields: _Fields) -> SongChord:
    chord = SongChord(
        start=fields.required("start", _time),
        end=fields.required("end", _time),
        root=fields.optional("root", _pitch_class),
        quality=fields.optional("quality", _text),
        bass=fields.optional("bass", _pitch_class),
        pitch_classes=fields.optional("pitch_classes", _pitch_classes),
        symbol=fields.optional("symbol", _text),
    )
    if chord.end < chord.start:
        raise fields.error(f"{fields.where}end", chord.end, f"at least its start, {chord.start:g}")
    return chord


def _note(fields: _Fields) -> Note:
    velocity = fields.optional("velocity", _velocity)
    return Note(
        onset=fields.required("onset", _time),
        duration=fields.required("duration", _time),
        pitch=fields.required("pitch", _pitch),
        velocity=DEFAULT_VELOCITY if velocity is None else velocity,
    )


def _chord_to_dict(chord: SongChord, _: Mapping[str, Any]) -> dict[str, Any]:
    tones = chord.pitch_classes
    return {**vars(chord), "pitch_classes": None if tones is None else list(tones)}


def _note_to_dict(note: Note, before: Mapping[str, Any]) -> dict[str, Any]:
    facts = {"onset": note.onset, "duration": note.duration, "pitch": note.pitch}
    if note.velocity != DEFAULT_VELOCITY or before.get("velocity") is not None:
        facts["velocity"] = note.velocity
    return facts


def _written_over(content: Mapping[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Return `content` with `facts`. A fact that is not known only replaces one that was."""
    changed = {
        name: fact
        for name, fact in facts.items()
        if fact is not None or content.get(name) not in (None, [])
    }
    return {**content, **changed}


def _is_number(value: Any, low: float, high: float) -> bool:
    """Whether the value is a number from `low` to `high`; nan is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _time(value: Any) -> float:
    if not _is_number(value, EARLIEST, MAX_SECONDS):
        raise _Invalid(f"a number of seconds from 0 to {MAX_SECONDS:,.0f}")
    return max(0.0, float(value))


def _tempo(value: Any) -> float:
    if not _is_number(value, 0, MAX_TEMPO) or value == 0:
        raise _Invalid(f"a number of beats per minute, above 0 and at most {MAX_TEMPO:,.0f}")
    return float(value)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return _is_number(value, low, high) and value == int(value)


def _pitch(value: Any) -> int:
    if not _is_whole(value, 0, 127):
        raise _Invalid("a MIDI pitch, a whole number from 0 to 127")
    return int(value)


def _velocity(value: Any) -> int:
    if not _is_whole(value, 1, 127):
        raise _Invalid("a MIDI velocity, a whole number from 1 to 127")
    return int(value)


def _program(value: Any) -> int:
    if not _is_whole(value, 0, 127):
        raise _Invalid("a General MIDI program, a whole number from 0 to 127")
    return int(value)


def _pitch_class(value: Any) -> int:
    if not _is_whole(value, 0, 11):
        raise _Invalid("a pitch class, a whole number from 0 to 11")
    return int(value)


def _pitch_classes(value: Any) -> tuple[int, ...]:
    return tuple(_pitch_class(each) for each in _list(value))


def _meter(value: Any) -> tuple[int, int]:
    numbers = _list(value)
    if len(numbers) != 2 or not all(_is_whole(number, 1, 64) for number in numbers):
        raise _Invalid("two whole numbers from 1 to 64, such as [6, 8]")
    return int(numbers[0]), int(numbers[1])


def _key(value: Any) -> str:
    try:
        transpose_key(_text(value), 0)
    except UserError:
        raise _Invalid("a key, such as 'G# minor', or null") from None
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Invalid("a text")
    return value


def _list(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _Invalid("a list")
    return value
