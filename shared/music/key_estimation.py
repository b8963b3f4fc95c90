"""The key of a song, estimated from its notes or from its chords.

How long each pitch class sounds is correlated with the profiles of all major and minor keys
(Krumhansl and Kessler 1982). Where chords are known, the chord on a key's tonic speaks for the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from shared.music.chord import NOTE_NAMES, QUALITIES, Chord
from shared.music.chord_notation import ChordName
from shared.music.notes import Note

Key = tuple[int, str]  # the tonic's pitch class, and "major" or "minor"

# Krumhansl & Kessler's key profiles, from the tonic up.
_PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
# What each sounding, beginning and ending share of its tonic chord counts for a key.
_SOUNDING, _FIRST, _LAST = 2.0, 0.1, 0.3
_DEFAULT = "C major"


def estimate_key(notes: Sequence[Note]) -> str:
    """Estimate the key of notes, such as "A minor"; "C major" where there are none."""
    weights = np.zeros(12)
    for note in notes:
        weights[note.pitch % 12] += note.duration
    return _name_of_best(_profile_fits(weights)) if weights.std() > 0 else _DEFAULT


def key_of_chords(chords: Sequence[Chord]) -> str | None:
    """Estimate the key of chords, such as "A minor"; None where there are none."""
    lengths = [
        (ChordName(chord.root, chord.quality, chord.bass), chord.end - chord.start)
        for chord in chords
        if chord.end > chord.start
    ]
    return _name_of_best(key_likelihoods(lengths)) if lengths else None


def key_likelihoods(chords: Sequence[tuple[ChordName, float]]) -> dict[Key, float]:
    """Return how well each major and minor key fits chords with their lengths, at least one.

    This is the correlation of the key's profile with what sounds, plus what the tonic's own chords
    count for.
    """
    likely = _profile_fits(pitch_class_weights(chords))
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


def pitch_class_weights(chords: Sequence[tuple[ChordName, float]]) -> npt.NDArray[np.float64]:
    """Return how long each pitch class sounds in chords with their lengths `[12]`."""
    weights = np.zeros(12)
    for chord, length in chords:
        for step in QUALITIES[chord.quality][0]:
            weights[(chord.root + step) % 12] += length
    return weights


def _profile_fits(weights: npt.NDArray[np.float64]) -> dict[Key, float]:
    """Return the correlation of the weights of the pitch classes `[12]` with each key's profile."""
    sounding = _unit(weights)
    return {
        (tonic, kind): float(np.roll(_unit(np.array(profile)), tonic) @ sounding)
        for kind, profile in _PROFILES.items()
        for tonic in range(12)
    }


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shift and scale values to mean 0 and norm 1."""
    centred = values - values.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-9))


def _name_of_best(fits: Mapping[Key, float]) -> str:
    tonic, kind = max(fits, key=lambda key: fits[key])
    return f"{NOTE_NAMES[tonic]} {kind}"
