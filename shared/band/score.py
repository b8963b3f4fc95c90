"""A score: the parts of one song in seconds and MIDI numbers, with its chords and beats.

A beat is the felt pulse: a quarter note in x/4, and a dotted quarter in 6/8 and 12/8, which have two
and four beats a bar. `Score.tempo` counts these beats per minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.music.chord import Chord


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
