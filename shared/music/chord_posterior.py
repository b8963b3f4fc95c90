"""Chords as probabilities: in the frames of a song, and at the positions of its bars.

Named chords are one opinion among several on what sounds. As probabilities, they can be multiplied
with other opinions and weigh what is chosen, without forbidding anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bar_grid import STEPS, BarGrid
from shared.music.chord import Chord

Probabilities = npt.NDArray[np.float64]

LATE_START = STEPS // 4  # positions; a song that begins so little after a beat has the whole beat
_LEAST_PROBABILITY = 1e-9


@dataclass(frozen=True, eq=False)
class GridHarmony:
    """The harmony at each of the P positions of a grid, as distributions over pitch classes.

    Attributes:
        roots: probabilities of the chord's root `[P, 12]`.
        tones: the weights of the pitch classes `[P, 12]`. The chord's tones share most of the
            weight evenly.
    """

    roots: Probabilities
    tones: Probabilities


def harmony_on_grid(chords: Sequence[Chord], grid: BarGrid, certainty: float = 0.9) -> GridHarmony:
    """Return the harmony that chords say sounds at the positions of a grid.

    Args:
        chords: the chords.
        grid: the beats and bars of the song.
        certainty: the share of the root, and of the chord's tones together. The other pitch classes
            share the rest. Where there is no chord, all pitch classes are equal.
    """
    roots, tones = (np.full((grid.positions, 12), 1 / 12) for _ in range(2))
    for chord in chords:
        within = positions_within(chord, grid)
        roots[within] = _spread((chord.root,), certainty)
        tones[within] = _spread(chord.pitch_classes, certainty)
    return GridHarmony(roots, tones)


def positions_within(chord: Chord, grid: BarGrid) -> slice:
    """Return the positions of a grid at which a chord sounds.

    Its beginning and its end are rounded to the nearest position. Where a song begins shortly after
    a beat, its first chord begins at this beat.
    """
    start, end = (float(grid.position_of(time)) for time in (chord.start, chord.end))
    beat = STEPS * round(start / STEPS)
    if chord.start <= 0 and abs(start - beat) <= LATE_START:
        start = beat
    first, last = (int(np.clip(round(at), 0, grid.positions)) for at in (start, end))
    return slice(first, last)


def expert_posterior(
    chords: Sequence[Chord], num_frames: int, frame_rate: float, trust: float
) -> Probabilities:
    """Return the probabilities of the chord's root in each frame `[num_frames, 12]`.

    Args:
        chords: the chords that an expert names.
        num_frames: the number of frames of the song.
        frame_rate: frames per second. Frame t is at t / frame_rate seconds.
        trust: the probability that the expert's root is right. The other roots share the rest.
            Where the expert names no chord, all roots are equal.
    """
    posterior = np.full((num_frames, 12), 1 / 12)
    for chord in chords:
        start, end = (max(0, round(time * frame_rate)) for time in (chord.start, chord.end))
        posterior[start:end] = _spread((chord.root,), trust)
    return posterior


def multiply_experts(
    own: npt.NDArray[np.floating], other: npt.NDArray[np.floating], weight: float
) -> Probabilities:
    """Multiply the probabilities of two experts (log-linear pooling).

    Args:
        own: probabilities `[T, K]`.
        other: probabilities of the same `[T, K]`.
        weight: the power to which `other` is raised; 0 leaves `own` as it is.

    Returns:
        Probabilities `[T, K]` that are proportional to own * other ** weight.
    """
    logarithm = np.log(np.maximum(own, _LEAST_PROBABILITY)) + weight * np.log(
        np.maximum(other, _LEAST_PROBABILITY)
    )
    product = np.exp(logarithm - logarithm.max(axis=-1, keepdims=True))
    return np.asarray(product / product.sum(axis=-1, keepdims=True))


def _spread(pitch_classes: Sequence[int], share: float) -> Probabilities:
    """Give some pitch classes a share of 1 evenly, and the others the rest `[12]`."""
    weights = np.full(12, (1 - share) / (12 - len(pitch_classes)))
    weights[list(pitch_classes)] = share / len(pitch_classes)
    return weights
