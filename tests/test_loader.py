"""Batches come in order, are made ahead of time, and end with the stream."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from shared.songs.cache import build_cache
from shared.training.loader import BatchStream


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batches_come_in_order(workers: int) -> None:
    def slow_if_even(step: int) -> int:
        time.sleep(0.01 * (step % 2 == 0))
        return step * step

    stream = BatchStream(slow_if_even, 3, 12, workers)
    assert list(stream) == [step * step for step in range(3, 12)]
    with pytest.raises(StopIteration):
        next(stream)


@pytest.mark.parametrize("workers", [0, 2])
def test_empty_stream(workers: int) -> None:
    assert list(BatchStream(str, 5, 5, workers)) == []


def test_batches_are_made_ahead_but_not_far() -> None:
    made: list[int] = []
    with BatchStream(made.append, 0, 100, workers=2) as stream:
        next(stream)
        time.sleep(0.1)
        assert 3 <= len(made) <= 4


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_with_its_batch_and_ends_the_stream(workers: int) -> None:
    def fail_at_two(step: int) -> int:
        if step == 2:
            raise ValueError("step 2")
        return step

    stream = BatchStream(fail_at_two, 0, 10, workers)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(ValueError, match="step 2"):
        next(stream)
    assert list(stream) == []


def test_closing_stops_the_threads() -> None:
    before = set(threading.enumerate())  # others' threads may end meanwhile: look at the new ones
    with BatchStream(str, 0, 1000, workers=3) as stream:
        next(stream)
        started = set(threading.enumerate()) - before
    assert started
    deadline = time.monotonic() + 5
    while started & set(threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not started & set(threading.enumerate())
    assert list(stream) == []


def test_same_batches_for_any_workers_and_after_resuming(stem_folder: Path, tmp_path: Path) -> None:
    songs = build_cache(stem_folder, tmp_path / "cache").split("train")

    def make_batch(step: int) -> np.ndarray:
        rng = np.random.default_rng((7, step))
        return np.stack(
            [
                songs[rng.integers(len(songs))].read(
                    int(rng.integers(4)), int(rng.integers(80_000)), 2048
                )
                for _ in range(3)
            ]
        )

    expected = list(BatchStream(make_batch, 0, 20, workers=0))
    for workers in (1, 4):
        assert np.array_equal(list(BatchStream(make_batch, 0, 20, workers)), expected)
    assert np.array_equal(list(BatchStream(make_batch, 12, 20, 2)), expected[12:])
