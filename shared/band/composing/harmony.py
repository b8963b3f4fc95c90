"""Harmony: progressions in Roman numerals, from a style's list or from a random walk.

Numerals count from the major scale, so that a minor key has `i bVI bIII bVII`. After the numeral
may come a quality (`V7`, `iim7b5`, `IVsus2`), `/x` for the dominant of x (`V7/ii`), and a bass
note: `^3 ^5 ^7` for an inversion, or `@1 @5` for a pedal note on that degree of the key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from shared.music.chord import QUALITIES

MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
}

# The chords that a walk may use, and those of them that lead back to the tonic.
WALKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "major": (("I", "ii", "iii", "IV", "V", "vi"), ("V", "V", "IV", "ii")),
    "minor": (("i", "iv", "v", "bIII", "bVI", "bVII"), ("bVII", "V", "iv", "bVI")),
    "dorian": (("i", "ii", "bIII", "IV", "v", "bVII"), ("IV", "bVII", "ii")),
    "mixolydian": (("I", "ii", "IV", "v", "vi", "bVII"), ("bVII", "IV", "v")),
    "phrygian": (("i", "bII", "bIII", "iv", "bVI", "bvii"), ("bII", "bvii", "bIII")),
    "lydian": (("I", "II", "iii", "V", "vi", "vii"), ("II", "V", "vii")),
}

# How likely a root moves up by 0..11 semitones: fourths and steps often, tritones hardly ever.
ROOT_MOTION = np.array([0.0, 1.5, 3.0, 1.2, 1.2, 5.0, 0.2, 3.0, 2.0, 3.0, 2.5, 1.2])

BORROWED = {
    "major": {"IV": "iv", "V": "bVII", "vi": "bVI", "iii": "bIII", "ii": "iim7b5"},
    "minor": {"v": "V7", "iv": "IV", "bVI": "bII", "bVII": "V7"},
    "dorian": {"v": "V7", "IV": "iv", "bIII": "bVI"},
    "mixolydian": {"v": "V", "vi": "bVI", "IV": "iv"},
    "phrygian": {"bvii": "bVII", "bIII": "V7"},
    "lydian": {"V": "IV", "vi": "bVII"},
}

_NUMERALS = {"I": 0, "II": 2, "III": 4, "IV": 5, "V": 7, "VI": 9, "VII": 11}
_SUFFIXES = {
    "7": "dom7", "maj7": "maj7", "m7b5": "hdim7", "o": "dim", "o7": "dim7", "+": "aug",
    "sus4": "sus4", "sus2": "sus2", "7sus": "sus7", "6": "maj6", "m6": "min6", "9": "dom9",
    "7b9": "dom7b9", "7#9": "dom7s9", "add9": "add9", "5": "power", "maj9": "maj9", "m9": "min9",
    "m7": "min7",
}  # fmt: skip
_TOKEN = re.compile(
    r"(?P<accidental>[b#]?)(?P<numeral>[IViv]+)(?P<suffix>[^/^@]*)"
    r"(?:/(?P<target>[b#]?[IViv]+))?(?:\^(?P<inversion>[357]))?(?:@(?P<pedal>[15]))?"
)


@dataclass(frozen=True)
class RelativeChord:
    """A chord in semitones above the tonic."""

    root: int
    quality: str
    bass: int


Bars = tuple[tuple[RelativeChord, ...], ...]


def read_numeral(token: str, mode: str, colour: str = "triad") -> RelativeChord:
    """Read one Roman numeral.

    Args:
        token: the numeral, as the module's docstring describes it.
        mode: a key of MODES.
        colour: what decides the quality of a numeral without one: triad, seventh, ninth, sixth,
            dominant (sevenths as in blues), power or open.

    Raises:
        ValueError: the token is not a Roman numeral.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ValueError(f"not a Roman numeral: {token!r}")
    numeral, suffix = match["numeral"], match["suffix"]
    root = _degree(match["accidental"], numeral)
    if match["target"]:
        target = match["target"]
        root += _degree(target.rstrip("IViv"), target.lstrip("b#"))
    root %= 12
    implied = _colour(root, numeral.isupper(), bool(match["target"]), mode, colour)
    quality = _SUFFIXES[suffix] if suffix else implied
    bass = root
    if match["inversion"]:
        tones = QUALITIES[quality][0]
        bass = (root + _nearest_tone(tones, {"3": 4, "5": 7, "7": 10}[match["inversion"]])) % 12
    if match["pedal"]:
        bass = {"1": 0, "5": 7}[match["pedal"]]
    return RelativeChord(root, quality, bass)


def _degree(accidental: str, numeral: str) -> int:
    return _NUMERALS[numeral.upper()] + {"b": -1, "#": 1, "": 0}[accidental]


def _nearest_tone(tones: tuple[int, ...], step: int) -> int:
    return min(tones, key=lambda tone: abs(tone - step))


def _colour(root: int, major: bool, dominant: bool, mode: str, colour: str) -> str:
    if colour == "power":
        return "power"
    flat_seventh = (root + 10) % 12 in MODES[mode]
    if not major:
        return {"seventh": "min7", "ninth": "min9", "sixth": "min6", "dominant": "min7"}.get(
            colour, "min"
        )
    if dominant or (root == 7 and colour in ("seventh", "ninth", "sixth")):
        return "dom9" if colour == "ninth" else "dom7"
    if colour == "dominant":
        return "dom7"
    if colour == "seventh":
        return "dom7" if flat_seventh else "maj7"
    if colour == "ninth":
        return "dom9" if flat_seventh else "maj9"
    return {"sixth": "maj6", "open": "add9"}.get(colour, "maj")


def read_progression(text: str, mode: str, colour: str) -> Bars:
    """Read bars that are separated by `|`, each of one or more numerals."""
    return tuple(
        tuple(read_numeral(token, mode, colour) for token in bar.split()) for bar in text.split("|")
    )


def walk_progression(rng: np.random.Generator, mode: str, bars: int, busy: float) -> str:
    """Write a progression by a random walk from the tonic to a chord that leads back to it.

    Args:
        rng: the source of all chance.
        mode: a key of MODES.
        bars: how many bars to write.
        busy: the chance that a bar holds two chords.
    """
    chords, leading = WALKS[mode]
    roots = np.array([read_numeral(chord, mode).root for chord in chords])
    slots = [2 if rng.random() < busy else 1 for _ in range(bars)]
    current = 0 if rng.random() < 0.85 else int(rng.integers(len(chords)))
    walked = [chords[current]]
    for _ in range(sum(slots) - 1):
        weights = ROOT_MOTION[(roots - roots[current]) % 12].copy()
        weights[0] *= 0.6
        weights[current] = 0.4
        current = int(rng.choice(len(chords), p=weights / weights.sum()))
        walked.append(chords[current])
    if rng.random() < 0.75:
        walked[-1] = leading[int(rng.integers(len(leading)))]
    remaining = iter(walked)
    return " | ".join(" ".join(next(remaining) for _ in range(count)) for count in slots)


def spice(rng: np.random.Generator, text: str, mode: str, amount: float) -> str:
    """Vary a progression by borrowed chords, secondary dominants, inversions and suspensions.

    An `amount` of 0 changes nothing, and 1 changes about every third bar. Chords with a quality, an
    inversion or a pedal note stay as they are.
    """
    bars = [bar.split() for bar in text.split("|")]
    for number, bar in enumerate(bars):
        following = bars[(number + 1) % len(bars)][0]
        last = bar[-1]
        draw = rng.random() / max(amount, 1e-9)
        if draw < 0.10 and last in BORROWED[mode] and number:
            bar[-1] = BORROWED[mode][last]
        elif draw < 0.20 and len(bar) == 1 and re.fullmatch(r"b?[IViv]+", following):
            if following.upper() != "I" and following != last:
                bar.append(f"V7/{following}")
        elif draw < 0.26 and number and last in ("I", "V", "IV", "bVI", "bVII"):
            bar[-1] = last + ("^3" if rng.random() < 0.7 else "^5")
        elif draw < 0.30 and last in ("V", "I", "IV") and len(bar) == 1:
            bar[:] = [last + "sus4", last]
        elif draw < 0.33 and last in ("IV", "ii", "bVII") and number:
            bar[-1] = last + ("@5" if rng.random() < 0.6 else "@1")
    return " | ".join(" ".join(bar) for bar in bars)


def on_pedal(bars: Bars, bass: int = 0) -> Bars:
    """Put the chords over one bass note that is held."""
    return tuple(tuple(replace(chord, bass=bass) for chord in bar) for bar in bars)
