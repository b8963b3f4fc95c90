"""How loud the notes of a line are, in classes relative to the median of the line."""

import numpy as np
import numpy.typing as npt

LOUDNESSES = 8  # the classes, from the softest to the loudest
UNKNOWN_LOUDNESS = -1
_MEDIAN_CLASS, _MEDIAN_VELOCITY, _VELOCITY_STEP = 4, 96, 10

Integers = npt.NDArray[np.int64]


def loudness_of_velocities(velocities: npt.ArrayLike) -> Integers:
    """Return the classes of the notes of a line `[N]`.

    They are unknown if all velocities are equal, because a line whose velocities nobody recorded
    has the same velocity everywhere.

    Args:
        velocities: the MIDI velocities `[N]`.
    """
    given = np.asarray(velocities, np.float64)
    if len(given) == 0 or given.min() == given.max():
        return np.full(len(given), UNKNOWN_LOUDNESS, np.int64)
    steps = np.round((given - np.median(given)) / _VELOCITY_STEP)
    return np.clip(_MEDIAN_CLASS + steps, 0, LOUDNESSES - 1).astype(np.int64)


def velocities_of_loudness(loudness: Integers) -> Integers:
    """Return MIDI velocities of classes `[N]`. An unknown loudness counts as the median."""
    steps = np.where(loudness == UNKNOWN_LOUDNESS, 0, loudness - _MEDIAN_CLASS)
    return np.asarray(np.clip(_MEDIAN_VELOCITY + _VELOCITY_STEP * steps, 1, 127))
