"""Variations of a song: transposition and tempo, of the samples and of what is known of it."""

from typing import Any

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.song_facts import SongFacts
from shared.songs.augment import Variation, vary_facts, vary_samples
from shared.sources import BASS, SOURCES

RATE = 22050
SONG: dict[str, Any] = {
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
    assert vary(SONG, Variation()) == SONG
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
    assert peak_frequency(varied[SOURCES.index("drums")]) == pytest.approx(110, abs=2)


def test_a_faster_song_has_its_events_earlier() -> None:
    stems = np.stack([tone(110.0)] * len(SOURCES))
    stems[..., RATE:] = 0  # silence from 1 s on
    varied = vary_samples(stems, RATE, Variation(tempo=1.25))
    for stem in varied:
        end = np.flatnonzero(np.abs(stem[0]) > 0.1)[-1] / RATE
        assert end == pytest.approx(0.8, abs=0.06)


def vary(song: dict[str, Any], variation: Variation) -> dict[str, Any]:
    return vary_facts(SongFacts.from_dict(song, "song.json"), variation).to_dict()


def test_facts_follow() -> None:
    varied = vary(SONG, Variation(semitones=3, tempo=1.2))
    assert varied["tempo"] == pytest.approx(120)
    assert varied["key"] == "D minor"
    assert varied["duration"] == pytest.approx(4 / 1.2)
    assert varied["beats"] == pytest.approx([0, 0.5])
    assert varied["downbeats"] == [0.0]
    chord = varied["chords"][0]
    assert (chord["root"], chord["bass"], chord["symbol"]) == (2, 5, "Dm7/F")
    assert chord["pitch_classes"] == [2, 5, 9, 0]
    assert chord["end"] == pytest.approx(2.0)
    note = varied["bass_notes"][0]
    assert note == pytest.approx({"onset": 0.5, "duration": 0.25, "pitch": 41})
    assert SONG["chords"][0]["root"] == 11, "the original is untouched"


def test_what_is_said_beside_the_facts_is_kept() -> None:
    song = {"mood": "dark", "bass_notes": [{"onset": 0, "duration": 1, "pitch": 40, "string": 3}]}
    varied = vary(song, Variation(semitones=-2))
    assert varied["mood"] == "dark"
    assert varied["bass_notes"] == [{"onset": 0, "duration": 1, "pitch": 38, "string": 3}]


@pytest.mark.parametrize(
    ("key", "semitones", "transposed"),
    [
        ("G# minor", 1, "A minor"),
        ("G# minor", -3, "F minor"),
        ("Ab minor", 1, "A minor"),
        ("Cb major", 2, "Db major"),
        ("E# dorian", 0, "E# dorian"),
        ("B minor", 1, "C minor"),
        ("F♯ minor", 2, "Ab minor"),
        ("Bbm", 4, "Dm"),
        ("A:minor", 2, "B:minor"),
        ("C", 6, "F#"),
    ],
)
def test_keys_are_transposed_however_they_are_spelled(
    key: str, semitones: int, transposed: str
) -> None:
    assert vary({"key": key}, Variation(semitones, 1.1))["key"] == transposed


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
    varied = vary({"chords": [*SONG["chords"], silence]}, Variation(3, 1.2))
    chord, after = varied["chords"]
    assert chord["root"] == 2
    assert after == {**silence, "start": pytest.approx(2.0), "end": pytest.approx(3.0)}


def test_a_chord_without_a_bass_note_stands_on_its_root() -> None:
    chord = {"start": 0.0, "end": 1.0, "root": 9, "quality": "min", "bass": None}
    (varied,) = vary({"chords": [chord]}, Variation(semitones=2))["chords"]
    assert (varied["root"], varied["bass"], varied["symbol"]) == (11, None, "Bm")


def test_a_symbol_that_cannot_be_spelled_does_not_stay_in_the_old_key() -> None:
    chord = {"start": 0.0, "end": 1.0, "root": 9, "quality": "7alt", "symbol": "A7alt"}
    (varied,) = vary({"chords": [chord]}, Variation(semitones=2))["chords"]
    assert (varied["root"], varied["quality"], varied["symbol"]) == (11, "7alt", None)


def test_notes_stay_within_midi() -> None:
    notes = [{"onset": i, "duration": 1, "pitch": pitch} for i, pitch in enumerate((3, 125))]
    song = {"bass_notes": notes}
    assert [n["pitch"] for n in vary(song, Variation(-5))["bass_notes"]] == [10, 120]
    assert [n["pitch"] for n in vary(song, Variation(5))["bass_notes"]] == [8, 118]


@pytest.mark.parametrize(("semitones", "tempo"), [(13, 1.0), (0, 0.4), (0, 2.5)])
def test_refuses_what_no_one_can_listen_to(semitones: int, tempo: float) -> None:
    with pytest.raises(UserError):
        Variation(semitones, tempo)
