"""Chords and keys: qualities, tones and names. `chord_notation.py` reads chord symbols.

Pitch classes are integers from 0 (C) to 11 (B).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.errors import UserError

NOTE_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
SHARP_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


# Chord quality -> (semitones above the root, suffix of the chord symbol).
QUALITIES: dict[str, tuple[tuple[int, ...], str]] = {
    "maj": ((0, 4, 7), ""),
    "min": ((0, 3, 7), "m"),
    "dim": ((0, 3, 6), "dim"),
    "aug": ((0, 4, 8), "aug"),
    "power": ((0, 7), "5"),
    "sus2": ((0, 2, 7), "sus2"),
    "sus4": ((0, 5, 7), "sus4"),
    "add9": ((0, 2, 4, 7), "add9"),
    "maj6": ((0, 4, 7, 9), "6"),
    "min6": ((0, 3, 7, 9), "m6"),
    "maj7": ((0, 4, 7, 11), "maj7"),
    "min7": ((0, 3, 7, 10), "m7"),
    "dom7": ((0, 4, 7, 10), "7"),
    "sus7": ((0, 5, 7, 10), "7sus4"),
    "dim7": ((0, 3, 6, 9), "dim7"),
    "hdim7": ((0, 3, 6, 10), "m7b5"),
    "maj9": ((0, 2, 4, 7, 11), "maj9"),
    "min9": ((0, 2, 3, 7, 10), "m9"),
    "dom9": ((0, 2, 4, 7, 10), "9"),
    "dom7b9": ((0, 1, 4, 7, 10), "7b9"),
    "dom7s9": ((0, 3, 4, 7, 10), "7#9"),
}

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTALS = {"": 0, "#": 1, "b": -1, "♯": 1, "♭": -1}
_KEY = re.compile(r"([A-G])([#b♯♭]?)((?:[\s:]*[A-Za-z]+)?)\s*")


@dataclass(frozen=True)
class Chord:
    """A chord that lasts from `start` to `end`.

    Attributes:
        start: where it begins, in seconds.
        end: where it ends, in seconds.
        root: pitch class of the root.
        quality: a key of QUALITIES.
        bass: pitch class of the lowest note; it differs from the root in a slash chord.
    """

    start: float
    end: float
    root: int
    quality: str
    bass: int

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The chord's tones from the root up; a bass note that is not among them comes last."""
        tones = tuple((self.root + step) % 12 for step in QUALITIES[self.quality][0])
        return tones if self.bass in tones else (*tones, self.bass)

    @property
    def symbol(self) -> str:
        """The chord symbol, such as `Am7/G`."""
        root = NOTE_NAMES[self.root]
        name = root + QUALITIES[self.quality][1]
        if self.bass == self.root:
            return name
        sharp = root in ("D", "E", "F#", "A", "B")
        return f"{name}/{(SHARP_NAMES if sharp else NOTE_NAMES)[self.bass]}"


def transpose_key(key: str, semitones: int) -> str:
    """Transpose the name of a key: `G# minor` two semitones up is `Bb minor`.

    The tonic may be spelled with a sharp or a flat. What follows it (the mode) is kept.

    Raises:
        UserError: the text does not begin with the name of a note.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise UserError(f"'{key}' is not a key: write one like 'G# minor' or 'Bb major'")
    return NOTE_NAMES[(_pitch_class(match[1], match[2]) + semitones) % 12] + match[3]


def _pitch_class(letter: str, accidental: str) -> int:
    return (_LETTERS[letter] + _ACCIDENTALS[accidental]) % 12
