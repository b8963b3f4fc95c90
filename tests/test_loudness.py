"""Loudness is relative to the line, and velocities come back from it."""

import numpy as np
import pytest

from stage2_prior.loudness import (
    LOUDNESSES,
    UNKNOWN_LOUDNESS,
    loudness_of_velocities,
    velocities_of_loudness,
)


def test_classes_are_steps_of_ten_around_the_median() -> None:
    assert loudness_of_velocities([60, 80, 84, 90, 100]).tolist() == [2, 4, 4, 5, 6]
    assert loudness_of_velocities([1, 80, 80, 80, 127]).tolist() == [0, 4, 4, 4, LOUDNESSES - 1]


@pytest.mark.parametrize("velocities", [[], [70], [96, 96, 96]])
def test_a_line_with_one_velocity_says_nothing(velocities: list[int]) -> None:
    assert loudness_of_velocities(velocities).tolist() == [UNKNOWN_LOUDNESS] * len(velocities)


def test_every_class_has_a_velocity_of_its_own() -> None:
    classes = np.arange(LOUDNESSES)
    velocities = velocities_of_loudness(classes)
    assert ((velocities >= 1) & (velocities <= 127)).all()
    line = np.append(velocities, [velocities[4]] * 10)  # so that the median is known
    np.testing.assert_array_equal(loudness_of_velocities(line)[:LOUDNESSES], classes)
    assert velocities_of_loudness(np.array([UNKNOWN_LOUDNESS])) == velocities[4]
