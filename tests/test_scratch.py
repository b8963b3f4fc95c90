"""Temporary folders of killed processes are removed, and those of living ones are not."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from shared.scratch import ScratchFolder

HOLD = """
import os, sys
from shared.scratch import ScratchFolder
folder = ScratchFolder("test")
(folder.path / "large").touch()
print(folder.name, flush=True)
if sys.argv[1] == "die":
    os.kill(os.getpid(), 9)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_removed_with_its_content(temporary: Path) -> None:
    with ScratchFolder("test") as name:
        (Path(name) / "file").touch()
        assert [path.name for path in temporary.iterdir()] == [Path(name).name]
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_has_left_is_removed_but_not_what_one_uses(temporary: Path) -> None:
    command = [sys.executable, "-c", HOLD]
    dead = subprocess.run([*command, "die"], stdout=subprocess.PIPE, text=True)
    left = Path(dead.stdout.strip())
    assert (left / "large").exists()
    with subprocess.Popen(
        [*command, "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as living:
        assert living.stdout is not None
        used = Path(living.stdout.readline().strip())
        other = temporary / "bassprior-other-x"
        other.mkdir()
        assert left.exists()  # it is young
        for folder in (left, used):
            os.utime(folder / ".lock", (0, 0))
        ScratchFolder("test").cleanup()
        assert {path.name for path in temporary.iterdir()} == {used.name, other.name}
        living.communicate("")
    assert [path.name for path in temporary.iterdir()] == [other.name]
