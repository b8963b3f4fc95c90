"""Temporary folders outside of the user's own folders, which do not pile up where processes die.

A process holds a lock in each of its folders. What one that was killed has left is removed when the
next folder of the same purpose is made.
"""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from shared.file_lock import try_lock

_LOCK_NAME = ".lock"
_STALE_SECONDS = 60.0  # A younger folder may belong to a process that has not locked it yet.


class ScratchFolder(tempfile.TemporaryDirectory[str]):
    """A folder in the system's folder of temporary files, which is removed with its content."""

    def __init__(self, purpose: str) -> None:
        """Make a folder, and remove those of this purpose that killed processes have left."""
        _sweep(f"bassprior-{purpose}-")
        super().__init__(prefix=f"bassprior-{purpose}-")
        self._handle: int | None = os.open(self.path / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try_lock(self._handle)

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.name)

    def cleanup(self) -> None:
        """Remove the folder."""
        super().cleanup()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _sweep(prefix: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):  # it may be somebody else's
            handle = os.open(folder / _LOCK_NAME, os.O_RDWR)
            try:
                age = time.time() - os.fstat(handle).st_mtime
                if age > _STALE_SECONDS and try_lock(handle):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
