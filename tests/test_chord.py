"""Chords and keys: symbols, tones, transposition."""

import pytest

from shared.errors import UserError
from shared.music.chord import QUALITIES, Chord, parse_chord, transpose_key


def test_symbol_and_tones_of_a_chord() -> None:
    assert Chord(0, 1, 9, "min7", 7).symbol == "Am7/G"
    assert Chord(0, 1, 4, "maj", 8).symbol == "E/G#"
    assert Chord(0, 1, 5, "maj", 8).symbol == "F/Ab"
    assert Chord(0, 1, 9, "min7", 7).pitch_classes == (9, 0, 4, 7)
    assert Chord(0, 1, 5, "maj", 7).pitch_classes == (5, 9, 0, 7)


@pytest.mark.parametrize(
    ("symbol", "chord"),
    [
        ("C", (0, "maj", 0)),
        ("Am", (9, "min", 9)),
        ("F#m7", (6, "min7", 6)),
        ("Bb/D", (10, "maj", 2)),
        ("B♭/D", (10, "maj", 2)),
        ("Cb", (11, "maj", 11)),
        ("Em7b5", (4, "hdim7", 4)),
        ("Eø", (4, "hdim7", 4)),
        ("G7sus4", (7, "sus7", 7)),
        ("D-7/C", (2, "min7", 0)),
    ],
)
def test_chord_symbols(symbol: str, chord: tuple[int, str, int]) -> None:
    assert parse_chord(symbol) == chord


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("root", range(12))
def test_a_chord_is_read_from_its_own_symbol(root: int, quality: str) -> None:
    for bass in (root, (root + 5) % 12):
        symbol = Chord(0, 1, root, quality, bass).symbol
        assert parse_chord(symbol) == (root, quality, bass)


@pytest.mark.parametrize("symbol", ["H", "", "Am/", "c", "Cfoo", "C/x"])
def test_what_is_no_chord(symbol: str) -> None:
    with pytest.raises(UserError, match="not a chord"):
        parse_chord(symbol)


def test_keys_are_transposed() -> None:
    assert transpose_key("G# minor", 2) == transpose_key("Ab minor", 2) == "Bb minor"
    assert transpose_key("B major", 1) == "C major"
    assert transpose_key("C", -1) == "B"


@pytest.mark.parametrize("key", ["", "minor", "H minor", "c minor", "C#b major", "C 3", "8A"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(UserError, match="is not a key"):
        transpose_key(key, 1)
