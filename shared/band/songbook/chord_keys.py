"""The key of a chord progression: what is known of it, completed from the chords.

Data sets give a tonic and a mode, a tonic alone, a key signature alone, or nothing. What is missing
is read off the chords: how long each of them sounds, and which one begins and ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.band.composing.harmony import MODES
from shared.music.chord import QUALITIES
from shared.music.chord_notation import ChordName

# Krumhansl & Kessler's key profiles (1982), from the tonic up.
_PROFILES = {
    "major": np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88]),
    "minor": np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17]),
}
_CENTRED = {
    (tonic, kind): np.roll(
        (profile - profile.mean()) / np.linalg.norm(profile - profile.mean()), tonic
    )
    for kind, profile in _PROFILES.items()
    for tonic in range(12)
}
# What each sounding, beginning and ending share counts for a tonic.
_SOUNDING, _FIRST, _LAST = 2.0, 0.1, 0.3
# A mode other than major and minor must have this many times as much of the degrees that tell them
# apart.
_CLEARLY = 2.0


def complete_key(
    chords: Sequence[tuple[ChordName, float]],
    tonic: int | None = None,
    minor: bool | None = None,
    sharps: int | None = None,
) -> tuple[int, str]:
    """Return the tonic (pitch class) and the mode (of MODES) of chords with their lengths.

    `tonic` and `minor` hold where they are known; of a key signature of `sharps` (flats are
    negative) the major key or its relative minor is chosen.
    """
    if not chords:
        return (0 if tonic is None else tonic), ("minor" if minor else "major")
    if sharps is not None:
        major = (7 * sharps) % 12
        candidates = [(major, "major"), ((major + 9) % 12, "minor")]
    else:
        tonics = range(12) if tonic is None else (tonic,)
        kinds = ("major", "minor") if minor is None else ("minor" if minor else "major",)
        candidates = [(t, kind) for t in tonics for kind in kinds]
    weights = _pitch_class_weights(chords)
    likely = _likelihoods(weights, chords)
    home, kind = max(candidates, key=lambda key: likely[key])
    return home, _mode(weights, home, kind)


def _pitch_class_weights(chords: Sequence[tuple[ChordName, float]]) -> np.ndarray:
    """Return how long each pitch class sounds, `[12]`."""
    weights = [0.0] * 12
    for chord, length in chords:
        for step in QUALITIES[chord.quality][0]:
            weights[(chord.root + step) % 12] += length
    return np.array(weights)


def _likelihoods(
    weights: np.ndarray, chords: Sequence[tuple[ChordName, float]]
) -> dict[tuple[int, str], float]:
    """Return how well each tonic and kind, major or minor, fits.

    This is the correlation of the key's profile with what sounds, plus what the tonic's own chords
    count for.
    """
    centred = weights - weights.mean()
    centred /= max(float(np.linalg.norm(centred)), 1e-9)
    likely = {key: float(profile @ centred) for key, profile in _CENTRED.items()}
    total = sum(length for _, length in chords)
    for number, (chord, length) in enumerate(chords):
        count = _SOUNDING * length / total
        count += _FIRST * (number == 0) + _LAST * (number == len(chords) - 1)
        steps = QUALITIES[chord.quality][0]
        # A chord without a third may be the tonic of either kind.
        if 4 in steps or 3 not in steps:
            likely[chord.root, "major"] += count
        if 4 not in steps:
            likely[chord.root, "minor"] += count
    return likely


def _mode(weights: np.ndarray, tonic: int, kind: str) -> str:
    """Return major or minor, or a church mode with that third that the chords clearly keep to."""
    third = 4 if kind == "major" else 3
    degrees = np.roll(weights, -tonic)

    def foreign(mode: str) -> float:
        return float(sum(degrees[step] for step in range(12) if step not in MODES[mode]))

    others = [mode for mode, steps in MODES.items() if third in steps and mode != kind]
    best = min(others, key=foreign)
    differing = set(MODES[kind]) ^ set(MODES[best])
    own = float(sum(degrees[step] for step in differing & set(MODES[best])))
    plain = float(sum(degrees[step] for step in differing & set(MODES[kind])))
    return best if own > _CLEARLY * plain and foreign(best) < foreign(kind) else kind
