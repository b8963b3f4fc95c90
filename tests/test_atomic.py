"""Files appear whole or not at all, alone and together."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import atomic
from shared.atomic import atomic_path, files_together, final_path, full_disk_said
from shared.errors import UserError
from tests.launching import ROOT


def write_and_fail(path: Path, error: Exception | None = None) -> None:
    path.write_text("half")
    raise error or ZeroDivisionError


def test_a_file_appears_when_the_body_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert (temporary.parent, temporary.suffix) == (path.parent, ".txt")
    assert path.read_text() == "whole"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_failing_body_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        write_and_fail(temporary)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["file/a.txt", "folder", f"{'x' * 300}.txt"])
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    reason = "is not a folder" if "/" in name else "cannot write"
    with pytest.raises(UserError, match=reason), atomic_path(tmp_path / name):
        pytest.fail("the body must not run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_files_appear_together(tmp_path: Path) -> None:
    paths = {"a": tmp_path / "a.txt", "b": tmp_path / "new" / "b.txt"}
    with files_together(paths) as temporary:
        for name, path in temporary.items():
            path.write_text(name)
        assert not any(path.exists() for path in paths.values())
    assert {name: path.read_text() for name, path in paths.items()} == {"a": "a", "b": "b"}


def test_files_fail_together(tmp_path: Path) -> None:
    paths = {"a": tmp_path / "a.txt", "b": tmp_path / "b.txt"}
    with pytest.raises(ZeroDivisionError), files_together(paths) as temporary:
        write_and_fail(temporary["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    paths = {"a": tmp_path / "a", "b": tmp_path / "b"}
    with pytest.raises(UserError, match="b, which is a folder"), files_together(paths):
        pytest.fail("the body must not run")
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


# A disk that is full. /dev/full gives the errors that writing to one gives.

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folder look full to the probe: its file is /dev/full."""

    def open_full(**_: Any) -> Any:
        return Path("/dev/full").open("wb", buffering=0)

    monkeypatch.setattr(tempfile, "TemporaryFile", open_full)


@needs_dev_full
@pytest.mark.usefixtures("full")
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("100 requested and 3 written"),  # numpy's tofile
        RuntimeError("I/O error: No space left on device (os error 28)"),  # safetensors
        AssertionError(),  # soundfile
        RuntimeError("Error : System error."),  # libsndfile
    ],
)
def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UserError) as caught, atomic_path(path) as temporary:
        write_and_fail(temporary, error)
    assert str(caught.value) == (
        f"no space left in {tmp_path}: free some space, or choose another place"
    )
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@needs_dev_full
@pytest.mark.usefixtures("full")
def test_a_full_disk_is_said_before_a_writer_can_give_another_reason(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        try:
            with atomic_path(path) as temporary:
                write_and_fail(temporary, RuntimeError("System error"))
        except RuntimeError as error:
            raise UserError("cannot write (System error)") from error

    paths = {"a": tmp_path / "a", "b": tmp_path / "b"}
    with pytest.raises(UserError, match=r"^no space left in "), files_together(paths) as files:
        write(files["a"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), ZeroDivisionError(), UserError("other")]
)
def test_another_error_on_a_disk_with_space_stays_as_it_is(
    tmp_path: Path, error: Exception
) -> None:
    with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "a.txt"):
        raise error
    assert caught.value is error


def test_a_full_disk_on_which_no_file_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", fail)
    with pytest.raises(UserError, match=r"^no space left in "), atomic_path(tmp_path / "a"):
        pytest.fail("the body must not run")


def test_a_disk_that_fills_when_the_file_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"^no space left in "), atomic_path(tmp_path / "a") as file:
        file.write_text("whole")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    sync = os.fsync

    def fsync(handle: int) -> None:
        flushed.append(os.fstat(handle).st_ino)
        assert (tmp_path / "a").exists() == (len(flushed) == 2)
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("whole")
    assert flushed == [path.stat().st_ino for path in (tmp_path / "a", tmp_path)]


def test_saying_it_outside_an_atomic_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^no space left in {tmp_path}:"), full_disk_said(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


# Temporary names.


def test_one_temporary_name_for_a_file_that_is_written_together_with_others(
    tmp_path: Path,
) -> None:
    with files_together({"a": tmp_path / "a.txt", "b": tmp_path / "b.txt"}) as files:
        with atomic_path(files["a"]) as inner:
            assert inner == files["a"]
            inner.write_text("a")
        assert files["a"].exists()
        assert not (tmp_path / "a.txt").exists()
        assert final_path(files["a"]) == tmp_path / "a.txt"
        assert final_path(tmp_path / "b.txt") == tmp_path / "b.txt"
        assert len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / "a.txt").read_text() == "a"
    assert final_path(files["a"]) == files["a"]  # forgotten


@pytest.mark.parametrize("name", ["x" * 251 + ".wav", "é" * 125 + ".wav", "曲" * 83 + ".wav"])
def test_names_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    assert 250 < len(name.encode()) <= 255
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.suffix == ".wav"
        temporary.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_longer_names_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="choose a shorter name"),
        atomic_path(tmp_path / ("x" * 256)),
    ):
        pytest.fail("the body must not run")


KILLED = """
import os, sys
from pathlib import Path
from shared.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary.name, flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), 9)
    sys.stdin.read()
"""


@pytest.fixture
def not_swept() -> Iterator[None]:
    """Let every folder be as new to this process."""
    atomic._swept.clear()
    yield
    atomic._swept.clear()


def make_old(path: Path) -> None:
    os.utime(path, (0, 0))


@pytest.mark.usefixtures("not_swept")
def test_what_a_killed_process_has_left_is_removed_but_not_what_one_is_writing(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", KILLED]
    dead = subprocess.run([*command, tmp_path / "a.wav", "die"], stdout=subprocess.PIPE, text=True)
    assert dead.returncode == -9
    left = tmp_path / dead.stdout.strip()
    with subprocess.Popen(
        [*command, tmp_path / "b.wav", "live"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as live:  # fmt: skip
        assert live.stdout is not None
        being_written = tmp_path / live.stdout.readline().strip()
        users_own = tmp_path / ".notes-abcdefgh.wav"
        users_own.touch()
        for path in (left, being_written, users_own):
            make_old(path)
        with atomic_path(tmp_path / "c.wav") as temporary:
            temporary.touch()
            assert not left.exists()
            assert being_written.exists()
            assert users_own.exists()
        live.communicate("")
    assert live.returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [".notes-abcdefgh.wav", "b.wav", "c.wav"]
    assert (tmp_path / "b.wav").read_text() == "half"


@pytest.mark.usefixtures("not_swept")
def test_a_young_temporary_file_is_left_alone(tmp_path: Path) -> None:
    young = tmp_path / ".a.wav.unfinished-abcdefgh.wav"
    young.touch()
    with atomic_path(tmp_path / "b.wav") as temporary:
        temporary.touch()
    assert young.exists()


KILLED_SAVING = """
import resource, signal, sys
from pathlib import Path
import torch
from shared.training.checkpoint import save_checkpoint
from tests.toy_songs import make_song
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
if sys.argv[1] == "codes":
    make_song("a", "train").save(Path(sys.argv[2], "a.safetensors"))
else:
    save_checkpoint(Path(sys.argv[2], "a.safetensors"), {"a": torch.zeros(10_000)}, {})
"""


@pytest.mark.usefixtures("not_swept")
@pytest.mark.parametrize("kind", ["codes", "checkpoint"])
def test_what_is_left_of_tensors_where_their_writer_is_killed_is_removed_later(
    tmp_path: Path, kind: str
) -> None:
    """safetensors would leave a temporary file under a name that nobody removes."""
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_SAVING, kind, tmp_path], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGXFSZ
    assert any(tmp_path.iterdir())
    for left in tmp_path.iterdir():
        os.utime(left, (0, 0))
    with atomic_path(tmp_path / "b.txt") as temporary:
        temporary.write_text("b")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]
