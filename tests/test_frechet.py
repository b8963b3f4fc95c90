"""The Frechet distance of Gaussians, and the embedding of sounds."""

import numpy as np
import pytest

from stage2_prior.frechet import BANDS, RANGE_DB, embed, frechet_distance

RATE = 44100


def test_the_distance_is_that_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0, 1, (20_000, 2))
    second = rng.normal(0, 3, (20_000, 2)) + np.array([3.0, 0.0])
    # |m1 - m2|^2 + sum over the axes of (s1 - s2)^2
    assert frechet_distance([first], [second]) == pytest.approx(9 + 2 * 4, rel=0.05)
    assert frechet_distance([first], [first]) == pytest.approx(0, abs=1e-9)


def test_embeddings_of_a_set_are_pooled() -> None:
    embeddings = np.random.default_rng(0).normal(0, 1, (40, 3))
    parts = [embeddings[:7], embeddings[7:]]
    assert frechet_distance(parts, [embeddings]) == pytest.approx(0, abs=1e-9)
    assert np.isnan(frechet_distance([embeddings[:1]], [embeddings]))


def test_there_is_an_embedding_for_each_whole_second() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 3 * RATE + 100)).astype(np.float32)
    audio[:, RATE : 2 * RATE] *= 10
    embedded = embed(audio, RATE)
    assert embedded.shape == (3, BANDS)
    assert (embedded[1] - embedded[0]).mean() == pytest.approx(20, abs=1.5)


def test_bands_are_at_most_80_db_below_the_loudest() -> None:
    time = np.arange(2 * RATE) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 100 * time)).astype(np.float32)
    embedded = embed(np.stack([tone, tone]), RATE)
    assert embedded.max() - embedded.min() == pytest.approx(RANGE_DB, abs=1)
    assert embedded.mean(0).argmax() < 3
