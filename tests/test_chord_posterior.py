"""Chords as probabilities."""

import numpy as np
import pytest

from shared.music.bar_grid import STEPS, BarGrid
from shared.music.chord import Chord
from shared.music.chord_posterior import (
    expert_posterior,
    harmony_on_grid,
    multiply_experts,
    positions_within,
)

GRID = BarGrid(np.linspace(0, 4, 9), np.array([0, 4]))


def test_the_harmony_at_the_positions_of_a_grid() -> None:
    chords = [Chord(0.5, 1.5, 9, "min7", 7), Chord(1.5, 2.0, 0, "maj", 4)]
    harmony = harmony_on_grid(chords, GRID, certainty=0.8)
    assert harmony.roots.shape == harmony.tones.shape == (GRID.positions, 12)
    np.testing.assert_allclose(harmony.roots.sum(axis=1), 1)
    np.testing.assert_allclose(harmony.tones.sum(axis=1), 1)
    np.testing.assert_allclose(harmony.roots[:STEPS], 1 / 12)
    np.testing.assert_allclose(harmony.roots[STEPS : 3 * STEPS, 9], 0.8)
    np.testing.assert_allclose(harmony.tones[STEPS : 3 * STEPS, [9, 0, 4, 7]], 0.2)
    np.testing.assert_allclose(harmony.tones[STEPS, 1], 0.2 / 8)
    np.testing.assert_allclose(harmony.roots[3 * STEPS : 4 * STEPS, 0], 0.8)
    np.testing.assert_allclose(harmony.roots[4 * STEPS :], 1 / 12)


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (0.5, 1.0, 12, 24),
        (0.49, 1.01, 12, 24),
        (0.53, 1.0, 13, 24),
        (0.0, 99.0, 0, 96),
        (5.0, 6.0, 96, 96),
    ],
)
def test_a_chord_begins_and_ends_at_the_nearest_position(
    start: float, end: float, first: int, last: int
) -> None:
    assert positions_within(Chord(start, end, 0, "maj", 0), GRID) == slice(first, last)


@pytest.mark.parametrize(("late", "first"), [(0.1, 0), (0.125, 0), (0.2, 5)])
def test_the_first_chord_of_a_song_that_begins_late_begins_on_the_beat(
    late: float, first: int
) -> None:
    grid = BarGrid(np.linspace(0, 4, 9) - late, np.array([0, 4]))
    assert positions_within(Chord(0.0, 1.0, 0, "maj", 0), grid).start == first


def test_an_experts_posterior() -> None:
    posterior = expert_posterior([Chord(1.0, 2.0, 5, "maj", 9)], 40, 10.0, trust=0.7)
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    np.testing.assert_allclose(posterior[10:20, 5], 0.7)
    np.testing.assert_allclose(posterior[10:20, 9], 0.3 / 11)
    np.testing.assert_allclose(posterior[[9, 20]], 1 / 12)


def test_experts_are_multiplied() -> None:
    draw = np.random.default_rng(0)
    own, other = (draw.dirichlet(np.ones(12), 20) for _ in range(2))
    product = own * other
    np.testing.assert_allclose(
        multiply_experts(own, other, 1.0), product / product.sum(axis=1, keepdims=True)
    )
    np.testing.assert_allclose(multiply_experts(own, other, 0.0), own)
    np.testing.assert_allclose(multiply_experts(own, np.full_like(own, 1 / 12), 3.0), own)
    np.testing.assert_allclose(
        multiply_experts(own, other, 0.5), multiply_experts(own, np.sqrt(other), 1.0)
    )


def test_experts_that_exclude_each_other_are_no_problem() -> None:
    one, another = np.eye(12)[[0]], np.eye(12)[[7]]
    pooled = multiply_experts(one, another, 1.0)
    np.testing.assert_allclose(pooled.sum(axis=1), 1)
    assert pooled[0, 0] == pytest.approx(pooled[0, 7])
