"""Beats that are moved a little to where the sound says they are, with a tempo that stays smooth.

Both steps are least-squares fits of times whose tempo changes little. Each beat pulls by as much as
its evidence is clear: first towards the peaks of the activation that the beats were decoded from,
and then towards the onsets of the sound.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shared.music.onset_envelope import OnsetEnvelope

PEAK_REACH = 0.046  # s: how far a beat moves to a peak of the activation
ONSET_REACH = 0.035  # s: how far it moves on to an onset
# The cost of a beat's squared change of length, where the squared error of a clear beat costs 1.
BEND_COST = 10.0
PULL = 0.1  # how much a beat without evidence pulls to where it is
ONSET_STRENGTH = 0.1  # a weaker peak, as a share of the song's strong onsets, is no onset
FIXED_WEIGHT = 1e6

Floats = npt.NDArray[np.float64]


def move_to_peaks(
    beats: Floats, activation: Floats, rate: float, fixed: float | None = None
) -> Floats:
    """Move beats to the peaks of an activation.

    Args:
        beats: times in seconds `[B]`, rising.
        activation: from 0 to 1, `[T]`. Entry i belongs to the time i / rate.
        rate: entries per second.
        fixed: the time at which the nearest beat must be, in seconds.

    Returns:
        The times `[B]`, at most PEAK_REACH away, and exactly `fixed` for the beat that is fixed.
    """
    offsets = np.linspace(-PEAK_REACH, PEAK_REACH, 41)
    nearby = np.interp(beats[:, None] + offsets, np.arange(len(activation)) / rate, activation)
    mass = nearby**2  # the centre of the peak's mass is finer than a frame
    weight = nearby.max(1)
    shift = (mass * offsets).sum(1) / np.maximum(mass.sum(1), 1e-9)
    return _moved(beats, shift, weight, PEAK_REACH, fixed)


def move_to_onsets(beats: Floats, onsets: OnsetEnvelope, fixed: float | None = None) -> Floats:
    """Move beats to the onsets of the sound. Where there are none, beats stay where they are.

    Args:
        beats: times in seconds `[B]`, rising.
        onsets: of the sound.
        fixed: the time at which the nearest beat must be, in seconds.

    Returns:
        The times `[B]`, at most ONSET_REACH away, and exactly `fixed` for the beat that is fixed.
    """
    strong = np.percentile(onsets.strength, 98) if len(onsets.strength) else 0.0
    if strong <= 0:
        return beats
    margin = 2 / onsets.rate  # a peak at the very edge may be the slope of one that lies outside
    offsets = np.arange(-ONSET_REACH - margin, ONSET_REACH + margin + 1e-9, 1 / onsets.rate)
    times = np.arange(len(onsets.strength)) / onsets.rate
    nearby = np.interp(beats[:, None] + offsets, times, onsets.strength, left=0, right=0)
    inside = nearby[:, 1:-1]
    peak = (inside >= nearby[:, :-2]) & (inside > nearby[:, 2:])
    # Of two onsets of the same strength, the nearer one is the beat's.
    preference = inside * peak * (1 - 0.5 * np.abs(offsets[1:-1]) / ONSET_REACH)
    best = preference.argmax(1)
    row = np.arange(len(beats))
    strength = np.where(peak[row, best], inside[row, best], 0) / strong
    weight = np.where(strength > ONSET_STRENGTH, np.minimum(strength, 1), 0)
    left, top, right = (nearby[row, best + step] for step in range(3))
    # The top of the parabola through three entries is finer than their distance.
    bend = np.minimum(left + right - 2 * top, -1e-12)
    shift = offsets[best + 1] + np.clip((left - right) / (2 * bend), -0.5, 0.5) / onsets.rate
    return _moved(beats, shift, weight, ONSET_REACH, fixed)


def _moved(
    beats: Floats, shifts: Floats, weights: Floats, reach: float, fixed: float | None
) -> Floats:
    """Move beats `[B]` by about their shifts, to an even tempo, by at most `reach` seconds."""
    targets, weights = beats + shifts, weights.copy()
    known = None if fixed is None else int(np.abs(beats - fixed).argmin())
    if known is not None:
        targets[known], weights[known] = fixed, FIXED_WEIGHT
    result = beats + np.clip(_smooth(targets, weights, beats) - beats, -reach, reach)
    if known is not None:
        result[known] = fixed
    return result


def _smooth(targets: Floats, weights: Floats, rest: Floats) -> Floats:
    """Fit times of little bend to targets `[B]`; where their weight is low, they tend to `rest`."""
    from scipy.linalg import solveh_banded

    # The normal equations have five diagonals. In scipy's form, row 2 holds the main one, and each
    # second difference (1, -2, 1) adds the products of its entries to three columns.
    inner = max(0, len(targets) - 2)
    diagonals = np.zeros((3, len(targets)))
    pull = PULL * np.maximum(1 - weights, 0)
    diagonals[2] = weights + pull
    for row, column, product in (
        (2, 0, 1),
        (2, 1, 4),
        (2, 2, 1),
        (1, 1, -2),
        (1, 2, -2),
        (0, 2, 1),
    ):
        diagonals[row, column : column + inner] += BEND_COST * product
    return np.asarray(solveh_banded(diagonals, weights * targets + pull * rest))
