"""Chords as data sets and musicians write them, read as a root, a quality and a bass.

Two notations: Harte's (`D:7(#9)/b7`, Harte et al. 2005), and the symbols of lead sheets (`D7#9/C`).
Both name more kinds of chords than QUALITIES has. A chord of another kind becomes the quality whose
tones are nearest: of the tones that differ, the third weighs most, then the seventh, then the fifth
and the tensions, and a tone that was not asked for weighs more than one that is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from shared.errors import UserError
from shared.music.chord import QUALITIES


@dataclass(frozen=True, slots=True)
class ChordName:
    """A chord without its time: pitch classes `root` and `bass`, quality of QUALITIES."""

    root: int
    quality: str
    bass: int

    def transposed(self, semitones: int) -> ChordName:
        """Return the chord `semitones` higher."""
        return ChordName((self.root + semitones) % 12, self.quality, (self.bass + semitones) % 12)


# Semitones of the degrees 1 to 14 of a major scale.
_MAJOR = (0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19, 21, 23)
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_DEGREE = re.compile(r"([#b]*)(\d+)")
_ROOT = r"([A-G])([#b]*)"

# Harte's shorthands as degrees. As it is played, an 11th chord has no third and a 13th no 11th.
_SHORTHANDS = {
    "": "1 3 5", "maj": "1 3 5", "min": "1 b3 5", "dim": "1 b3 b5", "aug": "1 3 #5",
    "maj7": "1 3 5 7", "min7": "1 b3 5 b7", "7": "1 3 5 b7", "dim7": "1 b3 b5 bb7",
    "hdim7": "1 b3 b5 b7", "minmaj7": "1 b3 5 7", "maj6": "1 3 5 6", "min6": "1 b3 5 6",
    "9": "1 3 5 b7 9", "maj9": "1 3 5 7 9", "min9": "1 b3 5 b7 9", "sus2": "1 2 5",
    "sus4": "1 4 5", "11": "1 5 b7 9 11", "min11": "1 b3 5 b7 9 11", "13": "1 3 5 b7 9 13",
    "maj11": "1 3 5 7 9 11", "maj13": "1 3 5 7 9 13", "min13": "1 b3 5 b7 9 13", "5": "1 5",
    "1": "1",
}  # fmt: skip
_HARTE = re.compile(_ROOT + r"(?::([a-z0-9]*)(?:\(([^)]*)\))?)?(?:/([#b]*\d+))?")
_TENSIONS = (2, 4, 6)

# The spellings of lead sheets, longest first, as one of Harte's shorthands. What follows a
# shorthand are degrees.
_KINDS = (
    (
        "minmaj7",
        (
            "minmaj7", "min(maj7)", "mmaj7", "m(maj7)", "mMaj7", "mM7", "m(M7)", "-maj7", "-M7",
            "-Δ7",
        ),
    ),
    ("hdim7", ("m7b5", "min7b5", "-7b5", "m7(b5)", "min7(b5)", "ø7", "ø", "hdim7")),
    ("dim7", ("dim7", "o7", "°7")),
    ("dim", ("dim", "o", "°", "mb5")),
    ("maj13", ("maj13", "M13", "Δ13")),
    ("maj11", ("maj11", "M11")),
    ("maj9", ("maj9", "Maj9", "M9", "Δ9", "^9", "ma9")),
    ("maj7", ("maj7", "Maj7", "M7", "Δ7", "Δ", "^7", "^", "ma7", "j7")),
    ("min13", ("min13", "m13", "-13", "mi13")),
    ("min11", ("min11", "m11", "-11", "mi11")),
    ("min9", ("min9", "m9", "-9", "mi9")),
    ("min7", ("min7", "m7", "-7", "mi7")),
    ("min6", ("min6", "m6", "-6", "mi6")),
    ("maj6", ("maj6", "M6", "6")),
    ("aug", ("aug", "+")),
    ("sus2", ("sus2", "2")),
    ("sus4", ("sus4", "sus", "4")),
    ("maj", ("maj", "Maj", "M")),
    ("min", ("min", "m", "-", "mi")),
    ("13", ("dom13", "13")),
    ("11", ("dom11", "11")),
    ("9", ("dom9", "9")),
    ("7", ("dom7", "7")),
    ("5", ("5",)),
)  # fmt: skip
_SPELLINGS = sorted(
    ((spelling, kind) for kind, spellings in _KINDS for spelling in spellings),
    key=lambda pair: -len(pair[0]),
)
_SYMBOL = re.compile(_ROOT + r"(.*?)(?:/([A-G][#b]*))?")


@lru_cache(maxsize=8192)
def read_harte(text: str) -> ChordName | None:
    """Read a chord in Harte's notation, such as `Bb:min7/b3`; None for `N` and `X`, no chord.

    Raises UserError for anything else.
    """
    if text in ("N", "X"):
        return None
    match = _HARTE.fullmatch(text)
    kind = (match[3] or "") if match else ""
    if match is None or kind not in _SHORTHANDS:
        raise UserError(f"{text!r} is not a chord in Harte's notation, such as C:min7 or G:7(b9)/3")
    degrees = _degrees(_SHORTHANDS[kind])
    degrees = _altered(degrees, (match[4] or "").replace(",", " "), text)
    root = _pitch_class(match[1], match[2])
    bass = (root + _semitones(*_split(match[5]))) % 12 if match[5] else root
    return ChordName(root, nearest_quality(_semitones(*degree) for degree in degrees), bass)


@lru_cache(maxsize=8192)
def read_symbol(text: str) -> ChordName | None:
    """Read a chord symbol of a lead sheet, such as `Bbm7/Db`; None for `N` and `N.C.`.

    Raises UserError for anything else.
    """
    if text in ("N", "NC", "N.C.", "X"):
        return None
    plain = text.replace("♯", "#").replace("♭", "b")
    plain = plain.replace("6/9", "6(9)").replace("69", "6(9)")
    match = _SYMBOL.fullmatch(plain)
    if match is None:
        raise UserError(f"{text!r} is not a chord: write one like Cm7, F#7b9 or Bb/D")
    root = _pitch_class(match[1], match[2])
    quality = nearest_quality(_semitones(*degree) for degree in _read_kind(match[3], text))
    bass = _pitch_class(match[4][0], match[4][1:]) if match[4] else root
    return ChordName(root, quality, bass)


@lru_cache(maxsize=4096)
def _nearest(tones: frozenset[int]) -> str:
    def distance(quality: str) -> float:
        known = set(QUALITIES[quality][0])
        lost = sum(_weight(tone, tones) for tone in tones - known)
        foreign = sum(_weight(tone, known) for tone in known - tones)
        return lost + 1.5 * foreign

    return min(QUALITIES, key=distance)


def nearest_quality(semitones: Iterable[int]) -> str:
    """Find the quality of QUALITIES whose tones, in semitones above the root, differ least.

    >>> nearest_quality((0, 3, 7, 10, 14, 17))
    'min9'
    """
    return _nearest(frozenset(tone % 12 for tone in semitones) | {0})


def _weight(tone: int, tones: Iterable[int]) -> float:
    """Return how much it matters that a chord of `tones` has `tone`."""
    chord = set(tones)
    third = {3, 4} & chord
    if tone in (3, 4):
        return 1.0 if tone == 3 and 4 in chord else 3.0  # beside a major third, 3 is a raised 9th
    if tone == 5 or (tone == 2 and 5 not in chord):
        return 1.0 if third else 3.0  # without a third it is a suspension
    if tone in (10, 11) or (tone == 9 and not chord & {10, 11}):
        return 2.0
    return 1.0


def _read_kind(kind: str, text: str) -> list[tuple[str, int]]:
    """Return the degrees that the suffix of a chord symbol names."""
    if kind in ("alt", "7alt"):
        return _degrees("1 3 #5 b7 #9")
    shorthand, rest = "maj", kind
    for spelling, name in _SPELLINGS:
        if kind.startswith(spelling):
            shorthand, rest = name, kind[len(spelling) :]
            break
    degrees = _degrees(_SHORTHANDS[shorthand])
    suspended = re.search(r"sus([24]?)", rest)
    if suspended:
        rest = rest[: suspended.start()] + " " + rest[suspended.end() :]
        degrees = [degree for degree in degrees if degree[1] != 3]
        degrees.append(("", int(suspended[1] or 4)))
    # `C7+` and `Caug7` both raise the fifth; `C+7` says the same with the sign in front.
    rest = re.sub(r"(aug|\+)(?!\d)", " #5 ", rest)
    rest = rest.replace("+", "#").replace("-", "b").replace("add", " ").replace("maj7", " M7 ")
    rest = re.sub(r"[(),]", " ", rest)
    if shorthand in ("aug", "sus4", "sus2", "maj") and re.match(r"\s*7", rest):
        degrees.append(("b", 7))
        rest = rest.lstrip()[1:]
    if re.search(r"\bM7\b", rest):
        degrees = [degree for degree in degrees if degree[1] != 7]
        degrees.append(("", 7))
        rest = rest.replace("M7", " ")
    omitted = {int(number) for number in re.findall(r"(?:no|omit)\s*(\d)", rest)}
    rest = re.sub(r"(?:no|omit)\s*\d", " ", rest)
    return [d for d in _altered(degrees, rest, text) if d[1] not in omitted]


def _altered(degrees: list[tuple[str, int]], extras: str, text: str) -> list[tuple[str, int]]:
    """Add degrees; an altered fifth, or a tension, replaces the plain one."""
    rest = re.sub(r"[#b]*\d+", " ", extras)
    numbers = _DEGREE.findall(extras)
    if rest.strip() or any(not 1 <= int(number) <= 14 for _, number in numbers):
        raise UserError(
            f"{text!r} is a chord of a kind that is not known here: write one like Cm7 or F#7b9"
        )
    for accidental, number in numbers:
        degree = int(number)
        if accidental and degree != 3:
            degrees = [d for d in degrees if d != ("", degree)]
        degrees = [*degrees, (accidental, degree)]
    return degrees


def _degrees(text: str) -> list[tuple[str, int]]:
    return [_split(item) for item in text.split()]


def _split(degree: str) -> tuple[str, int]:
    match = _DEGREE.fullmatch(degree)
    if match is None or not 1 <= int(match[2]) <= 14:
        raise UserError(f"{degree!r} is not a degree of a scale, such as 5 or b7")
    return match[1], int(match[2])


def _semitones(accidental: str, degree: int) -> int:
    return _MAJOR[degree - 1] + accidental.count("#") - accidental.count("b")


def _pitch_class(letter: str, accidentals: str) -> int:
    return (_LETTERS[letter] + accidentals.count("#") - accidentals.count("b")) % 12
