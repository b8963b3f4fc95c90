"""Variations of a song in other keys and tempi: its stems, and what is known of it.

They are made once, when codes are extracted. Rubber Band (through pedalboard) shifts the pitch and
stretches the time. Drums keep their pitch.
"""

from dataclasses import dataclass, replace

import numpy as np

from shared.errors import require
from shared.music.chord import QUALITIES, Chord, transpose_key
from shared.music.notes import Note
from shared.music.song_facts import SongChord, SongFacts
from shared.sources import DRUMS


@dataclass(frozen=True)
class Variation:
    """A transposition in semitones, and a tempo as a multiple of the song's own."""

    semitones: int = 0
    tempo: float = 1.0

    def __post_init__(self) -> None:
        """Raise UserError where the sound would suffer too much."""
        require(
            abs(self.semitones) <= 12,
            f"a transposition by {self.semitones} semitones is too far: give -12 to 12",
        )
        require(
            0.5 <= self.tempo <= 2,
            f"a tempo of {self.tempo:g} times the song's own is impossible: give 0.5 to 2",
        )

    @property
    def suffix(self) -> str:
        """What is added to the song's name; empty for the song as it is."""
        key = f"@{self.semitones:+d}" if self.semitones else ""
        return key + (f"@x{self.tempo:g}" if self.tempo != 1 else "")


def vary_samples(stems: np.ndarray, sample_rate: int, variation: Variation) -> np.ndarray:
    """Transpose and stretch stems.

    Args:
        stems: float32 `[sources, 2, N]`, in the order of SOURCES.
        sample_rate: of the stems, in Hz.
        variation: what to change.

    Returns:
        float32 `[sources, 2, round(N / tempo)]`.
    """
    if variation == Variation():
        return stems
    from pedalboard import time_stretch

    length = round(stems.shape[-1] / variation.tempo)
    varied = np.zeros((*stems.shape[:-1], length), np.float32)
    for source, stem in enumerate(stems):
        changed = time_stretch(
            stem,
            sample_rate,
            stretch_factor=variation.tempo,
            pitch_shift_in_semitones=0 if source == DRUMS else variation.semitones,
        )[:, :length]
        varied[source, :, : changed.shape[-1]] = changed
    return varied


def vary_facts(song: SongFacts, variation: Variation) -> SongFacts:
    """Return what is known of a song in another key and tempo. What is not known stays so."""
    if variation == Variation():
        return song
    semitones, tempo = variation.semitones, variation.tempo
    return replace(
        song,
        tempo=None if song.tempo is None else song.tempo * tempo,
        # At the same pitch the key keeps its spelling.
        key=transpose_key(song.key, semitones) if song.key and semitones else song.key,
        duration=None if song.duration is None else song.duration / tempo,
        beats=tuple(time / tempo for time in song.beats),
        downbeats=tuple(time / tempo for time in song.downbeats),
        chords=tuple(_vary_chord(chord, variation) for chord in song.chords),
        bass_notes=None
        if song.bass_notes is None
        else tuple(_vary_note(note, variation) for note in song.bass_notes),
    )


def _vary_note(note: Note, variation: Variation) -> Note:
    pitch = note.pitch + variation.semitones
    return replace(
        note,
        onset=note.onset / variation.tempo,
        duration=note.duration / variation.tempo,
        # MIDI has no pitches beyond 0 to 127: such a note stays an octave nearer.
        pitch=pitch - 12 * (pitch > 127) + 12 * (pitch < 0),
    )


def _vary_chord(chord: SongChord, variation: Variation) -> SongChord:
    def moved(pitch_class: int | None) -> int | None:
        return None if pitch_class is None else (pitch_class + variation.semitones) % 12

    tones = chord.pitch_classes
    varied = replace(
        chord,
        start=chord.start / variation.tempo,
        end=chord.end / variation.tempo,
        root=moved(chord.root),
        bass=moved(chord.bass),
        pitch_classes=None
        if tones is None
        else tuple((tone + variation.semitones) % 12 for tone in tones),
    )
    return replace(varied, symbol=_symbol(varied))


def _symbol(chord: SongChord) -> str | None:
    """Spell a chord anew. A chord without a root keeps its symbol: it names no note."""
    root, lowest, quality = chord.root, chord.lowest, chord.quality
    if root is None or lowest is None:
        return chord.symbol
    if quality not in QUALITIES:
        return None
    return Chord(chord.start, chord.end, root, quality, lowest).symbol
