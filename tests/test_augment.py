"""Variations of a song: transposition and tempo, of the samples and of the annotations."""

import numpy as np
import pytest

from shared.errors import UserError
from shared.songs.augment import Variation, vary_samples, vary_song
from shared.sources import BASS, SOURCES

RATE = 22050
SONG = {
    "tempo": 100.0,
    "key": "B minor",
    "duration": 4.0,
    "beats": [0.0, 0.6],
    "downbeats": [0.0],
    "chords": [
        {
            "start": 0.0,
            "end": 2.4,
            "root": 11,
            "quality": "min7",
            "bass": 2,
            "pitch_classes": [11, 2, 6, 9],
            "symbol": "Bm7/D",
        }
    ],
    "bass_notes": [{"onset": 0.6, "duration": 0.3, "pitch": 38}],
}


def tone(frequency: float) -> np.ndarray:
    time = np.arange(2 * RATE) / RATE
    return np.tile(0.3 * np.sin(2 * np.pi * frequency * time), (2, 1)).astype(np.float32)


def peak_frequency(audio: np.ndarray) -> float:
    middle = audio[0, len(audio[0]) // 4 : -len(audio[0]) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(spectrum.argmax() * RATE / len(middle))


def test_no_variation_changes_nothing() -> None:
    stems = np.stack([tone(110.0)] * len(SOURCES))
    assert vary_samples(stems, RATE, Variation()) is stems
    assert vary_song(SONG, Variation()) == SONG
    assert Variation().suffix == ""


def test_transposition_moves_pitch_but_not_drums() -> None:
    stems = np.stack([tone(110.0)] * len(SOURCES))
    varied = vary_samples(stems, RATE, Variation(semitones=3))
    assert varied.shape == stems.shape
    assert peak_frequency(varied[BASS]) == pytest.approx(110 * 2 ** (3 / 12), abs=1.5)
    assert peak_frequency(varied[SOURCES.index("drums")]) == pytest.approx(110, abs=1.5)


def test_tempo_changes_length_not_pitch() -> None:
    stems = np.stack([tone(110.0)] * len(SOURCES))
    varied = vary_samples(stems, RATE, Variation(tempo=1.25))
    assert varied.shape[-1] == round(stems.shape[-1] / 1.25)
    assert peak_frequency(varied[BASS]) == pytest.approx(110, abs=2)


def test_annotations_follow() -> None:
    varied = vary_song(SONG, Variation(semitones=3, tempo=1.2))
    assert varied["tempo"] == pytest.approx(120)
    assert varied["key"] == "D minor"
    assert varied["beats"] == pytest.approx([0, 0.5])
    chord = varied["chords"][0]
    assert (chord["root"], chord["bass"], chord["symbol"]) == (2, 5, "Dm7/F")
    assert chord["pitch_classes"] == [2, 5, 9, 0]
    assert chord["end"] == pytest.approx(2.0)
    assert varied["bass_notes"][0] == pytest.approx({"onset": 0.5, "duration": 0.25, "pitch": 41})
    assert SONG["chords"][0]["root"] == 11, "the original is untouched"


@pytest.mark.parametrize(
    "nothing",
    [
        {"root": None, "quality": "N", "bass": None, "pitch_classes": [], "symbol": "N"},
        {"root": None, "quality": "min7", "bass": None, "pitch_classes": None},
        {"root": None},
    ],
)
def test_where_no_chord_sounds_none_does_after(nothing: dict[str, object]) -> None:
    silence = {"start": 2.4, "end": 3.6, **nothing}
    varied = vary_song({"chords": [*SONG["chords"], silence]}, Variation(3, 1.2))
    chord, after = varied["chords"]
    assert chord["root"] == 2
    assert after == {**silence, "start": pytest.approx(2.0), "end": pytest.approx(3.0)}


def test_a_chord_without_a_bass_note_stands_on_its_root() -> None:
    chord = {"start": 0.0, "end": 1.0, "root": 9, "quality": "min", "bass": None}
    (varied,) = vary_song({"chords": [chord]}, Variation(semitones=2))["chords"]
    assert (varied["root"], varied["bass"], varied["symbol"]) == (11, None, "Bm")


@pytest.mark.parametrize(("semitones", "tempo"), [(13, 1.0), (0, 0.4), (0, 2.5)])
def test_refuses_what_no_one_can_listen_to(semitones: int, tempo: float) -> None:
    with pytest.raises(UserError):
        Variation(semitones, tempo)
