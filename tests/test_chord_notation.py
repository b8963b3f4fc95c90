"""Chord names of data sets and lead sheets as qualities that the band knows."""

import itertools

import pytest

from shared.errors import UserError
from shared.music.chord import QUALITIES, Chord
from shared.music.chord_notation import ChordName, nearest_quality, read_harte, read_symbol


@pytest.mark.parametrize(
    ("text", "root", "quality", "bass"),
    [
        ("C", 0, "maj", 0),
        ("Bb:min7/b3", 10, "min7", 1),
        ("Fb:maj", 4, "maj", 4),
        ("Cbb:7", 10, "dom7", 10),
        ("A:/5", 9, "maj", 4),
        ("G:sus4(b7)", 7, "sus7", 7),
        ("G:sus4(b7,9)", 7, "sus7", 7),
        ("G:sus4(9)", 7, "sus4", 7),
        ("G:11", 7, "sus7", 7),
        ("D:7(#5,#9)", 2, "dom7s9", 2),
        ("D:7(b9,b13)/b7", 2, "dom7b9", 0),
        ("D:13(b9)", 2, "dom7b9", 2),
        ("E:min11", 4, "min9", 4),
        ("E:min7(b5)", 4, "hdim7", 4),
        ("E:minmaj7", 4, "min", 4),
        ("E:maj(9)", 4, "add9", 4),
        ("E:maj6(9)/9", 4, "maj6", 6),
        ("E:7(b5)", 4, "dom7", 4),
        ("E:aug(b7)", 4, "aug", 4),
        ("E:1(b3,b7)", 4, "min7", 4),
        ("E:1", 4, "power", 4),
        ("E:13/bb13", 4, "dom9", 11),
    ],
)
def test_harte(text: str, root: int, quality: str, bass: int) -> None:
    assert read_harte(text) == ChordName(root, quality, bass)


@pytest.mark.parametrize(
    ("text", "quality"),
    [
        ("C-7b5", "hdim7"), ("Cø", "hdim7"), ("C°7", "dim7"), ("Co", "dim"), ("C+", "aug"),
        ("CM7", "maj7"), ("CΔ", "maj7"), ("Cmaj7#11", "maj7"), ("CmMaj7", "min"), ("C6/9", "maj6"),
        ("C7alt", "dom7s9"), ("C7(b9)", "dom7b9"), ("C13", "dom9"), ("C9sus4", "sus7"),
        ("C-7/C", "min7"), ("Cm7b5", "hdim7"), ("CM", "maj"), ("C-", "min"),
        ("Csus", "sus4"), ("Cadd9", "add9"), ("Cm11", "min9"), ("C7no5", "dom7"), ("C♯m7", "min7"),
    ],
)  # fmt: skip
def test_lead_sheet_symbols(text: str, quality: str) -> None:
    chord = read_symbol(text)
    assert chord is not None
    assert chord.quality == quality


def test_lead_sheet_symbols_of_every_quality_are_read_back() -> None:
    for quality in QUALITIES:
        for root, bass in itertools.product(range(12), (0, 2, 9)):
            symbol = Chord(0.0, 1.0, root, quality, bass).symbol
            assert read_symbol(symbol) == ChordName(root, quality, bass)


def test_tones_name_their_own_quality() -> None:
    for quality, (tones, _) in QUALITIES.items():
        assert nearest_quality(tones) == quality


def test_no_chord_and_nonsense() -> None:
    assert read_harte("N") is None
    assert read_symbol("N.C.") is None
    for text in ("C:foo", "C:maj/0", "H:maj", "C:7(x)", ""):
        with pytest.raises(UserError):
            read_harte(text)
    for text in ("H7", "Cfoo", "c", "C7/H", "C(99)", "", "Am/", "C/x"):
        with pytest.raises(UserError):
            read_symbol(text)


def test_transposed() -> None:
    assert ChordName(9, "min7", 0).transposed(-3) == ChordName(6, "min7", 9)
