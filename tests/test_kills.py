"""The harness that kills commands runs to its end, and it finds what a kill might leave."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kills import check_parts, compare

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_every_long_command_survives_a_kill() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", "--kills", "8", "--at-operations"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 8
    kills, problems = map(int, re.findall(r"\d+", done.stdout.splitlines()[-1]))
    assert kills >= 6  # one that comes while a command cleans up after itself may not end it
    assert problems == 0


def test_what_differs_stays_or_is_missing_is_found(tmp_path: Path) -> None:
    for name, content in (("whole", "1"), ("killed", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(content)
    (tmp_path / "whole" / "gone.json").write_text("{}")
    (tmp_path / "killed" / ".a.wav.unfinished-abcdefgh.wav").touch()
    assert [*compare(tmp_path / "killed", tmp_path / "whole")] == [
        ".a.wav.unfinished-abcdefgh.wav stays",
        "gone.json is missing",
        "config.toml differs",
    ]


def test_times_may_differ(tmp_path: Path) -> None:
    for name, seconds in (("whole", 1.0), ("killed", 2.0)):
        (tmp_path / name).mkdir()
        line = json.dumps({"step": 1, "seconds": seconds})
        (tmp_path / name / "metrics.jsonl").write_text(f"{line}\n")
    assert [*compare(tmp_path / "killed", tmp_path / "whole")] == []


def test_a_file_that_is_cut_short_is_found(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{")
    (problem,) = check_parts(tmp_path / "killed", tmp_path / "whole")
    assert problem.startswith("model.safetensors is there but cannot be read")
