"""A lock is held by one at a time, and is free again after its holder."""

import threading
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.file_lock import file_lock


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
        pytest.raises(UserError, match="cannot write"),
        file_lock(tmp_path / "file" / "lock", "finish"),
    ):
        pytest.fail("the body must not run")
