"""Chords and keys: names, tones, transposition."""

import pytest

from shared.errors import UserError
from shared.music.chord import Chord, transpose_key


def test_symbol_and_tones_of_a_chord() -> None:
    assert Chord(0, 1, 9, "min7", 7).symbol == "Am7/G"
    assert Chord(0, 1, 4, "maj", 8).symbol == "E/G#"
    assert Chord(0, 1, 5, "maj", 8).symbol == "F/Ab"
    assert Chord(0, 1, 9, "min7", 7).pitch_classes == (9, 0, 4, 7)
    assert Chord(0, 1, 5, "maj", 7).pitch_classes == (5, 9, 0, 7)


def test_keys_are_transposed() -> None:
    assert transpose_key("G# minor", 2) == transpose_key("Ab minor", 2) == "Bb minor"
    assert transpose_key("B major", 1) == "C major"
    assert transpose_key("C", -1) == "B"


@pytest.mark.parametrize("key", ["", "minor", "H minor", "c minor", "C#b major", "C 3", "8A"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(UserError, match="is not a key"):
        transpose_key(key, 1)
