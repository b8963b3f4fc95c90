"""A lock is held by one at a time, and is free again after its holder."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.file_lock import file_lock, sole_owner


def test_the_second_waits_for_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with file_lock(tmp_path / "lock", "finish"):
            order.append("second")

    thread = threading.Thread(target=second)
    with file_lock(tmp_path / "lock", "finish"):
        thread.start()
        assert waiting.wait(5)
        thread.join(0.1)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert capsys.readouterr().err == "waiting for another process to finish\n"


def test_an_error_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), file_lock(tmp_path / "new" / "lock", "finish"):
        raise ZeroDivisionError
    with file_lock(tmp_path / "new" / "lock", "finish"):
        pass


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="file is not a folder"),
        file_lock(tmp_path / "file" / "lock", "finish"),
    ):
        pytest.fail("the body must not run")


HOLDER = """
import sys
from pathlib import Path
from shared.file_lock import sole_owner
with sole_owner(Path(sys.argv[1]), "the run is trained", "choose another --out"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_owner_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError) as caught,
            sole_owner(path, "the run is trained", "choose another --out"),
        ):
            pytest.fail("the body must not run")
        assert str(caught.value) == (
            f"the run is trained by process {first.pid}: wait for it, or choose another --out"
        )
        first.kill()
    assert path.exists()  # of the killed process; it is in nobody's way
    with sole_owner(path, "the run is trained", "choose another --out"):
        assert json.loads(path.read_text()) == {
            "process": os.getpid(),
            "host": socket.gethostname(),
        }
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "owner"),
    [
        (b'{"process": 7, "host": "far"}', "process 7 on far"),
        (b"", "another process"),
        (b"[]", "another process"),
        (b"\xff", "another process"),
        (b'{"process": 7}', "another process"),
    ],
)
def test_an_owner_elsewhere_or_unknown(tmp_path: Path, content: bytes, owner: str) -> None:
    path = tmp_path / "lock"
    with sole_owner(path, "it is in use", "go"):
        path.write_bytes(content)
        with (
            pytest.raises(UserError, match=f"^it is in use by {owner}: "),
            sole_owner(path, "it is in use", "go"),
        ):
            pytest.fail("the body must not run")
        assert path.read_bytes() == content


def test_a_lock_that_its_owner_removes_meanwhile_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = tmp_path / "lock", []
    really_open = os.open

    def open_and_remove(name: Path, *arguments: int) -> int:
        handle = really_open(name, *arguments)
        opened.append(handle)
        if len(opened) == 1:
            Path(name).unlink()
        return handle

    monkeypatch.setattr(os, "open", open_and_remove)
    with sole_owner(path, "it is in use", "go"):
        assert len(opened) == 2
        assert path.exists()
