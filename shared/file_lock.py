"""Let one process at a time do something, by a lock that processes share through a file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.console import err_console
from shared.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks: there, processes do not wait for each other
    fcntl = None  # type: ignore[assignment]


@contextmanager
def file_lock(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made if need be and stays; wait until it is free.

    The system frees the lock when the process that holds it ends, however it ends. `purpose` tells
    the user what the other process does, such as "decode the songs".

    Raises:
        UserError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror}): choose a folder you may write to"
        ) from error
    try:
        if fcntl is not None:
            _lock(handle, purpose)
        yield
    finally:
        os.close(handle)  # this frees the lock


def _lock(handle: int, purpose: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        err_console.print(f"waiting for another process to {purpose}")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # some network file systems have no locks: then nobody waits
        pass
