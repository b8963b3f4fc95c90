"""Variations of a song, made once at extraction: other keys and other tempi, with their annotations.

Rubber Band (by pedalboard) shifts and stretches. Drums keep their pitch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.errors import require
from shared.music.chord import NOTE_NAMES, QUALITIES, Chord
from shared.sources import SOURCES

DRUMS = SOURCES.index("drums")


@dataclass(frozen=True)
class Variation:
    """A transposition in semitones and a tempo as a multiple of the song's own."""

    semitones: int = 0
    tempo: float = 1.0

    def __post_init__(self) -> None:
        require(abs(self.semitones) <= 12, "a transposition is -12 to 12 semitones")
        require(0.5 <= self.tempo <= 2, "a tempo change is 0.5 to 2")

    @property
    def suffix(self) -> str:
        """What is added to the song's name; empty for the song as it is."""
        key = f"@{self.semitones:+d}" if self.semitones else ""
        return key + (f"@x{self.tempo:g}" if self.tempo != 1 else "")


def vary_samples(stems: np.ndarray, sample_rate: int, variation: Variation) -> np.ndarray:
    """Stems float32 [sources, 2, N] in another key and tempo: [sources, 2, round(N / tempo)]."""
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


def vary_song(song: Mapping[str, Any], variation: Variation) -> dict[str, Any]:
    """The content of a song.json in another key and tempo; what it leaves out or calls null stays so."""
    if variation == Variation():
        return dict(song)
    shift, tempo = variation.semitones, variation.tempo
    varied = dict(song)
    if "tempo" in song:
        varied["tempo"] = song["tempo"] * tempo
    for name in ("beats", "downbeats"):
        if name in song:
            varied[name] = [time / tempo for time in song[name]]
    if "key" in song:
        tonic, _, mode = song["key"].partition(" ")
        varied["key"] = f"{NOTE_NAMES[(NOTE_NAMES.index(tonic) + shift) % 12]} {mode}"
    if "duration" in song:
        varied["duration"] = song["duration"] / tempo
    if "chords" in song:
        varied["chords"] = [_vary_chord(chord, variation) for chord in song["chords"]]
    if "bass_notes" in song:
        varied["bass_notes"] = [
            {
                **note,
                "onset": note["onset"] / tempo,
                "duration": note["duration"] / tempo,
                "pitch": note["pitch"] + shift,
            }
            for note in song["bass_notes"]
        ]
    return varied


def _vary_chord(chord: Mapping[str, Any], variation: Variation) -> dict[str, Any]:
    def moved(pitch_class: int) -> int:
        return (pitch_class + variation.semitones) % 12

    start, end = chord["start"] / variation.tempo, chord["end"] / variation.tempo
    varied = {**chord, "start": start, "end": end}
    for name in ("root", "bass"):
        if chord.get(name) is not None:
            varied[name] = moved(chord[name])
    if chord.get("pitch_classes") is not None:
        varied["pitch_classes"] = [moved(p) for p in chord["pitch_classes"]]
    root = varied.get("root")
    if root is not None and chord.get("quality") in QUALITIES:
        bass = root if varied.get("bass") is None else varied["bass"]
        varied["symbol"] = Chord(start, end, root, chord["quality"], bass).symbol
    return varied
