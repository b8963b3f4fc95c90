"""The key of a chord progression: what is known of it, completed from the chords.

Data sets give a tonic and a mode, a tonic alone, a key signature alone, or nothing. What is missing
is read off the chords: how long each of them sounds, and which one begins and ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.band.composing.harmony import MODES
from shared.music.chord_notation import ChordName
from shared.music.key_estimation import key_likelihoods, pitch_class_weights

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
    likely = key_likelihoods(chords)
    home, kind = max(candidates, key=lambda key: likely[key])
    return home, _mode(pitch_class_weights(chords), home, kind)


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
