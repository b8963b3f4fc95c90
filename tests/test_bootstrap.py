"""Means over songs and their intervals."""

import numpy as np
import pytest

from shared.bootstrap import Estimate, bootstrap_mean


def test_the_interval_is_that_of_the_mean_and_not_of_the_values() -> None:
    estimate = bootstrap_mean([0.0] * 50 + [1.0] * 50)
    half = 1.96 * 0.5 / 100**0.5
    assert estimate.mean == 0.5
    assert estimate.low == pytest.approx(0.5 - half, abs=0.015)
    assert estimate.high == pytest.approx(0.5 + half, abs=0.015)
    assert estimate.songs == 100


def test_the_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        estimate = bootstrap_mean(rng.normal(1.0, 1.0, 40))
        assert estimate.low <= estimate.mean <= estimate.high
        covered += estimate.low <= 1.0 <= estimate.high
    assert 180 <= covered <= 200


def test_songs_without_a_value_are_left_out() -> None:
    estimate = bootstrap_mean([1.0, float("nan"), 3.0])
    assert (estimate.mean, estimate.songs) == (2, 2)
    assert bootstrap_mean([float("nan")]).songs == 0
    assert np.isnan(bootstrap_mean([]).mean)


def test_the_seed_decides() -> None:
    values = np.random.default_rng(0).normal(size=30)
    assert (
        bootstrap_mean(values) == bootstrap_mean(values, seed=0) != bootstrap_mean(values, seed=1)
    )


def test_how_an_estimate_is_written() -> None:
    assert str(Estimate(0.456, 0.401, 0.523, 9)) == "0.46 [0.40, 0.52]"
    assert str(Estimate(-23.46, -30.0, -20.04, 9)) == "-23.5 [-30.0, -20.0]"
    assert str(bootstrap_mean([])) == "-"
