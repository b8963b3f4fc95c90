"""The key of notes, and of chords."""

import pytest

from shared.music.chord import Chord
from shared.music.chord_notation import read_symbol
from shared.music.key_estimation import estimate_key, key_of_chords
from shared.music.notes import Note


def progression(symbols: str, lengths: tuple[float, ...] = ()) -> list[Chord]:
    """The chords of a text, each two seconds long if no other lengths are given."""
    chords, time = [], 0.0
    names = [read_symbol(symbol) for symbol in symbols.split()]
    for name, length in zip(names, lengths or (2.0,) * len(names), strict=True):
        assert name is not None
        chords.append(Chord(time, time + length, name.root, name.quality, name.bass))
        time += length
    return chords


@pytest.mark.parametrize(
    ("tonic", "steps", "key"),
    [
        (9, (0, 2, 3, 5, 7, 8, 10), "A minor"),
        (0, (0, 2, 4, 5, 7, 9, 11), "C major"),
        (3, (0, 2, 4, 5, 7, 9, 11), "Eb major"),
    ],
)
def test_the_key(tonic: int, steps: tuple[int, ...], key: str) -> None:
    scale = [Note(i, 1.0, 60 + (tonic + step) % 12) for i, step in enumerate(steps)]
    triad = [Note(8, 4.0, 60 + (tonic + steps[i]) % 12) for i in (0, 2, 4)]
    assert estimate_key([*scale, *triad]) == key


def test_no_notes_are_in_c_major() -> None:
    assert estimate_key([]) == "C major"


@pytest.mark.parametrize(
    ("symbols", "key"),
    [
        ("Am F C G Am", "A minor"),
        ("C F G C", "C major"),
        ("Eb Cm Ab Bb7 Eb", "Eb major"),
        ("Dm7 G7 Cmaj7", "C major"),
        ("F#m D A E F#m", "F# minor"),
    ],
)
def test_the_key_of_chords(symbols: str, key: str) -> None:
    assert key_of_chords(progression(symbols)) == key


@pytest.mark.parametrize("semitones", range(12))
def test_the_key_of_chords_moves_with_them(semitones: int) -> None:
    moved = [
        Chord(chord.start, chord.end, (chord.root + semitones) % 12, chord.quality, chord.bass)
        for chord in progression("Am F G Am")
    ]
    tonic = Chord(0, 1, (9 + semitones) % 12, "maj", (9 + semitones) % 12).symbol
    assert key_of_chords(moved) == f"{tonic} minor"


def test_long_chords_count_more_than_short_ones() -> None:
    assert key_of_chords(progression("F C F C", (1.0, 8.0, 1.0, 8.0))) == "C major"
    assert key_of_chords(progression("F C F C", (8.0, 1.0, 8.0, 1.0))) == "F major"


def test_no_chords_are_in_c_major() -> None:
    assert key_of_chords([]) is None
