"""A million songs are listed, divided into splits and drawn from in little time and memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.codes.manifest import MANIFEST, CodeFiles
from shared.songs.drawing import ByLength
from tests.launching import ROOT

MILLION = 1_000_000
SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from shared.codes.manifest import read_manifest
from shared.songs.drawing import ByLength

def memory(kind):
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[kind].split()[0])

before, began = memory("VmRSS"), time.process_time()
files = read_manifest(Path(sys.argv[1])).files
listed = time.process_time()
splits = {name: files.of_split(name) for name in ("train", "valid", "test")}
divided = time.process_time()
songs = ByLength(range(1, 1 + len(splits["train"])))
chance = np.random.default_rng(0)
drawn = {splits["train"][songs.draw(chance)].parent.name for _ in range(1000)}
sampled = time.process_time()
print(*map(len, splits.values()), *drawn, memory("VmHWM") - before,
      listed - began, divided - listed, sampled - divided)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to see its memory")
def test_a_million_songs(tmp_path: Path) -> None:
    """Each of listing, dividing and drawing takes less than a second of one core."""
    splits = ["train", "valid", "test", *["train"] * 7]
    names = [f"{splits[n % 10]}/{n:07d}.codes.safetensors" for n in range(MILLION)]
    format = {
        "sources": ["bass"], "codebooks": 8, "cardinality": 64, "sample_rate": 44100,
        "hop": 1024, "fingerprint": "x", "files": names,
    }  # fmt: skip
    (tmp_path / MANIFEST).write_text(json.dumps(format))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *counts, split, size, listing, dividing, drawing = run.stdout.split()
    assert list(map(int, counts)) == [800_000, 100_000, 100_000]
    assert split == "train"
    assert 50e6 < int(size) < 500e6
    assert all(float(seconds) < 1 for seconds in (listing, dividing, drawing)), run.stdout


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
