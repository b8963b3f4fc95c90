"""Let one process at a time do something, by a lock that processes share through a file.

The system frees a lock when the process that holds it ends, however it ends.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import UserError
from shared.folders import require_no_file_in_the_way

try:
    import fcntl
except ImportError:  # Windows has no such locks: there, nobody waits and nobody is refused
    fcntl = None  # type: ignore[assignment]


@contextmanager
def file_lock(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made if need be and stays; wait until it is free.

    `purpose` tells the user what the other process does, such as "decode the songs".

    Raises:
        UserError: the file cannot be made.
    """
    handle = _open(path)
    try:
        if fcntl is not None:
            _lock(handle, purpose)
        yield
    finally:
        os.close(handle)  # this frees the lock


@contextmanager
def sole_owner(path: Path, what: str, advice: str) -> Iterator[None]:
    """Hold the lock of the file `path`, which names this process; refuse where another holds it.

    The file is removed in the end. One that a killed process has left does no harm.

    Args:
        path: the file.
        what: what is being done, for the message, such as "runs/vqvae is being trained".
        advice: what the user can do instead of waiting, for the message.

    Raises:
        UserError: another process holds the lock, or the file cannot be made.
    """
    handle, is_mine = _open_and_lock(path)
    try:
        if not is_mine:
            raise UserError(f"{what} by {_owner(handle)}: wait for it, or {advice}")
        owner = {"process": os.getpid(), "host": socket.gethostname()}
        with suppress(OSError):  # the lock is held even where the disk is full
            os.truncate(handle, 0)
            os.write(handle, f"{json.dumps(owner)}\n".encode())
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Lock an open file if it is free. Returns False where another process holds the lock.

    Some network file systems have no locks, and neither has Windows. There, this always succeeds.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _open(path: Path) -> int:
    require_no_file_in_the_way(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror}): choose a folder you may write to"
        ) from error


def _open_and_lock(path: Path) -> tuple[int, bool]:
    """Open the file `path`, and lock it if it is free; return its handle, and whether it was."""
    while True:
        handle = _open(path)
        is_mine = try_lock(handle)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle, is_mine
        os.close(handle)  # its owner has removed it meanwhile: make another


def _owner(handle: int) -> str:
    """Say which process holds a lock, as far as its file tells."""
    try:
        owner = json.loads(os.pread(handle, 1000, 0))
        here = "" if owner["host"] == socket.gethostname() else f" on {owner['host']}"
        return f"process {owner['process']}{here}"
    except (ValueError, TypeError, KeyError):
        return "another process"


def _lock(handle: int, purpose: str) -> None:
    if not try_lock(handle):
        from shared.console import err_console  # rich takes long to import, and --help needs none

        err_console.print(f"waiting for another process to {purpose}")
        fcntl.flock(handle, fcntl.LOCK_EX)
