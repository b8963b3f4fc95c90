"""A million songs are listed, divided into splits and drawn from in little memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.codes.manifest import CodeFiles
from shared.songs.drawing import ByLength
from tests.launching import ROOT


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to see its memory")
def test_a_million_songs_take_little_memory() -> None:
    command = [sys.executable, "-m", "benchmarks.many_songs", "--songs", "1000000"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    costs = json.loads(run.stdout)
    assert costs["songs"] == {"train": 800_000, "valid": 100_000, "test": 100_000}
    assert costs["drawn"] == ["train"]
    assert 50e6 < costs["memory"] < 500e6


def test_files_are_paths_that_are_made_when_they_are_asked_for() -> None:
    names = ("train/a.x", "valid/b.x", "train/c.x", "more/train/d.x", "train.x")
    files = CodeFiles(Path("codes"), names)
    assert list(files) == [Path("codes") / name for name in names]
    assert files[1:3] == CodeFiles(Path("codes"), names[1:3])
    kept = files.of_split("train").names
    assert kept == ("train/a.x", "train/c.x", "more/train/d.x")
    assert [file.parent.name for file in files.of_split("train")] == ["train"] * 3


def test_songs_are_drawn_as_numpy_draws_them() -> None:
    lengths = np.random.default_rng(0).integers(0, 1000, 50)
    songs = ByLength(lengths.tolist())
    for seed in range(200):
        expected = np.random.default_rng(seed).choice(50, p=lengths / lengths.sum())
        assert songs.draw(np.random.default_rng(seed)) == expected
