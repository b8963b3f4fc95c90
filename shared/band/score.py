"""A score: the parts of one song in seconds and MIDI numbers, and the chords and beats they obey.

A beat is the felt pulse: a quarter in x/4, a dotted quarter in 6/8 and 12/8 (two and four beats
a bar). `Score.tempo` counts those beats per minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NOTE_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SHARP_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

# Chord quality -> (semitones above the root, suffix of the chord symbol).
QUALITIES: dict[str, tuple[tuple[int, ...], str]] = {
    "maj": ((0, 4, 7), ""),
    "min": ((0, 3, 7), "m"),
    "dim": ((0, 3, 6), "dim"),
    "aug": ((0, 4, 8), "aug"),
    "power": ((0, 7), "5"),
    "sus2": ((0, 2, 7), "sus2"),
    "sus4": ((0, 5, 7), "sus4"),
    "add9": ((0, 2, 4, 7), "add9"),
    "maj6": ((0, 4, 7, 9), "6"),
    "min6": ((0, 3, 7, 9), "m6"),
    "maj7": ((0, 4, 7, 11), "maj7"),
    "min7": ((0, 3, 7, 10), "m7"),
    "dom7": ((0, 4, 7, 10), "7"),
    "sus7": ((0, 5, 7, 10), "7sus4"),
    "dim7": ((0, 3, 6, 9), "dim7"),
    "hdim7": ((0, 3, 6, 10), "m7b5"),
    "maj9": ((0, 2, 4, 7, 11), "maj9"),
    "min9": ((0, 2, 3, 7, 10), "m9"),
    "dom9": ((0, 2, 4, 7, 10), "9"),
    "dom7b9": ((0, 1, 4, 7, 10), "7b9"),
    "dom7s9": ((0, 3, 4, 7, 10), "7#9"),
}


@dataclass(frozen=True)
class ScoreNote:
    """One note. `onset` and `duration` in seconds, `pitch` a MIDI number, `velocity` 1-127."""

    onset: float
    duration: float
    pitch: int
    velocity: int

    @property
    def end(self) -> float:
        return self.onset + self.duration


@dataclass(frozen=True)
class PitchBend:
    """From `time` (s) on, the part sounds `semitones` above what is written."""

    time: float
    semitones: float


@dataclass(frozen=True)
class Part:
    """One instrument. `source` is one of `shared.sources.SOURCES`; `program` is GM, from 0."""

    source: str
    name: str
    program: int
    is_drum: bool
    notes: tuple[ScoreNote, ...]
    bends: tuple[PitchBend, ...] = ()


@dataclass(frozen=True)
class Chord:
    """A chord from `start` to `end` (s): pitch classes `root` and `bass`, quality of QUALITIES."""

    start: float
    end: float
    root: int
    quality: str
    bass: int

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The chord's tones from the root up; a foreign slash bass counts and comes last."""
        tones = tuple((self.root + step) % 12 for step in QUALITIES[self.quality][0])
        return tones if self.bass in tones else (*tones, self.bass)

    @property
    def symbol(self) -> str:
        root = NOTE_NAMES[self.root]
        name = root + QUALITIES[self.quality][1]
        if self.bass == self.root:
            return name
        sharp = root in ("D", "E", "F#", "A", "B")
        return f"{name}/{(SHARP_NAMES if sharp else NOTE_NAMES)[self.bass]}"


@dataclass(frozen=True)
class Score:
    """A whole song. `beats` and `downbeats` in seconds; `chords` cover the music without gaps."""

    style: str
    tempo: float
    time_signature: tuple[int, int]
    key: str
    duration: float
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    chords: tuple[Chord, ...]
    parts: tuple[Part, ...]

    @property
    def bass_notes(self) -> tuple[ScoreNote, ...]:
        notes = [note for part in self.parts if part.source == "bass" for note in part.notes]
        return tuple(sorted(notes, key=lambda note: note.onset))

    def to_song_json(self) -> dict[str, Any]:
        """The content of a song's `song.json`; times in seconds to the microsecond."""
        return {
            "tempo": round(self.tempo, 3),
            "time_signature": list(self.time_signature),
            "key": self.key,
            "duration": round(self.duration, 6),
            "style": self.style,
            "beats": [round(time, 6) for time in self.beats],
            "downbeats": [round(time, 6) for time in self.downbeats],
            "chords": [
                {
                    "start": round(chord.start, 6),
                    "end": round(chord.end, 6),
                    "root": chord.root,
                    "quality": chord.quality,
                    "bass": chord.bass,
                    "pitch_classes": list(chord.pitch_classes),
                    "symbol": chord.symbol,
                }
                for chord in self.chords
            ],
            "bass_notes": [
                {
                    "onset": round(note.onset, 6),
                    "duration": round(note.duration, 6),
                    "pitch": note.pitch,
                }
                for note in self.bass_notes
            ],
        }
