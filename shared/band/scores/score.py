"""A score: the parts of one song in seconds and MIDI numbers, with its chords and beats.

A beat is the pulse that a listener taps: a quarter note in x/4, and a dotted quarter in 6/8 and
12/8, which have two and four beats a bar. `Score.tempo` counts these beats per minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.music.chord import Chord
from shared.music.notes import Note
from shared.music.song_facts import SongChord, SongFacts


@dataclass(frozen=True)
class PitchBend:
    """From `time` (s) on, the part sounds `semitones` above the written pitch."""

    time: float
    semitones: float


@dataclass(frozen=True)
class Part:
    """The notes of one instrument.

    Attributes:
        source: one of `shared.sources.SOURCES`.
        name: the name of the track.
        program: General MIDI program, counted from 0.
        is_drum: whether the pitches are keys of a drum kit.
        notes: in order of onset.
        bends: pitch bends in order of time.
    """

    source: str
    name: str
    program: int
    is_drum: bool
    notes: tuple[Note, ...]
    bends: tuple[PitchBend, ...] = ()

    def stretched(self, factor: float) -> Part:
        """Return the part with all times multiplied by `factor`."""
        return replace(
            self,
            notes=tuple(
                replace(note, onset=note.onset * factor, duration=note.duration * factor)
                for note in self.notes
            ),
            bends=tuple(replace(bend, time=bend.time * factor) for bend in self.bends),
        )


@dataclass(frozen=True)
class Score:
    """A whole song.

    Attributes:
        style: the style's name.
        tempo: beats per minute.
        time_signature: such as (6, 8).
        key: a tonic and a mode, such as `A minor`.
        duration: in seconds.
        beats: times in seconds, rising.
        downbeats: the first beats of the bars, in seconds.
        chords: they cover the music without gaps.
        parts: one for each instrument.
    """

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
    def bass_notes(self) -> tuple[Note, ...]:
        """The notes of all bass parts, in order of onset."""
        notes = [note for part in self.parts if part.source == "bass" for note in part.notes]
        return tuple(sorted(notes, key=lambda note: note.onset))

    @property
    def bass_program(self) -> int | None:
        """The program of the bass part that has most of the notes; None without a bass."""
        parts = [part for part in self.parts if part.source == "bass"]
        most = max(parts, key=lambda part: len(part.notes), default=None)
        return None if most is None else most.program

    @property
    def facts(self) -> SongFacts:
        """What `song.json` says of the song, with times rounded to the microsecond.

        A bass that plays chords is described by its lowest voice.
        """
        return SongFacts(
            tempo=round(self.tempo, 3),
            meter=self.time_signature,
            key=self.key,
            duration=round(self.duration, 6),
            style=self.style,
            beats=tuple(round(time, 6) for time in self.beats),
            downbeats=tuple(round(time, 6) for time in self.downbeats),
            chords=tuple(
                SongChord.of(replace(chord, start=round(chord.start, 6), end=round(chord.end, 6)))
                for chord in self.chords
            ),
            bass_notes=tuple(
                replace(note, onset=round(note.onset, 6), duration=round(note.duration, 6))
                for note in lowest_voice(self.bass_notes)
            ),
            bass_program=self.bass_program,
        )


def lowest_voice(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Reduce a polyphonic part to its lowest line, which is monophonic.

    A note above a lower one is left out, unless the lower one ends before half of it has passed
    (which is a legato overlap). A later note ends the earlier one.
    """
    line: list[Note] = []
    for note in sorted(notes, key=lambda note: (note.onset, note.pitch)):
        if line:
            last = line[-1]
            covered = last.end - note.onset
            if note.pitch >= last.pitch and covered > 0.5 * note.duration:
                continue
            gap = note.onset - last.onset
            if gap < 0.03 and covered > 0:  # the notes of one chord, not played quite together
                line.pop()
            elif covered > 0:
                line[-1] = replace(last, duration=gap)
        line.append(note)
    return tuple(line)
