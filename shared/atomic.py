"""Write files that appear whole or not at all.

A file is written under a temporary name beside its place and renamed when it is on the disk. What a
process that was killed has left under such a name is removed by the next one that writes into the
same folder; a process holds a lock on what it is writing, so nobody takes it from a live one.
"""

import errno
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from shared.errors import UserError, require
from shared.file_lock import try_lock
from shared.folders import require_no_file_in_the_way

_MARK = ".unfinished-"
_TEMPORARY = re.compile(rf"\..+{re.escape(_MARK)}[a-z0-9_]{{8}}(\..*)?", re.DOTALL)
_LONGEST_NAME = 255  # bytes; file systems allow no more
_LONGEST_BEGINNING = 180  # bytes of a file's name in its temporary name
_STALE_SECONDS = 60.0  # A younger file may belong to a process that has not locked it yet.
_PROBE = bytes(1 << 16)  # What does not fit any more on a full disk.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_IN_TEXT = re.compile(r"No space left|os error 28\b")  # libraries in other languages


class NoSpaceError(UserError):
    """The disk is full. What goes on after other mistakes of the user cannot go on after this."""


_final_paths: dict[Path, Path] = {}  # of the temporary paths of this process
_swept: set[Path] = set()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` if the body succeeds.

    A `path` that is itself such a temporary path is yielded as it is.

    Raises:
        UserError: the folder cannot be made or written to, or `path` is a folder.
        NoSpaceError: the disk is full.
    """
    if path in _final_paths:
        with full_disk_said(path.parent):
            yield path
        return
    handle, temporary = _make_temporary(path)
    try:
        with full_disk_said(path.parent):
            yield temporary
            temporary.chmod(0o644)  # mkstemp makes private files
            flush(temporary)
            temporary.replace(path)
        with suppress(OSError):  # not every system can do it for a folder
            flush(path.parent)
    finally:
        del _final_paths[temporary]
        os.close(handle)  # this frees the lock
        temporary.unlink(missing_ok=True)


@contextmanager
def files_together(paths: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Yield a temporary path for each of `paths`; rename all of them if the body succeeds.

    They are renamed in the order of `paths`, so that the last one says that all are there. Paths
    that cannot be written are refused before the body runs.

    Raises:
        UserError: a folder cannot be made or written to, or a path is a folder.
        NoSpaceError: the disk is full.
    """
    with ExitStack() as stack:
        # A stack of contexts is left from its end.
        made = {name: stack.enter_context(atomic_path(paths[name])) for name in reversed([*paths])}
        yield {name: made[name] for name in paths}


def lock_beside(path: Path) -> Path:
    """Return a file beside `path` that can be locked while files of this name are written.

    Its name is that of a temporary file, so that one that is left is removed like these.
    """
    name = os.fsencode(path.name)
    mark = hashlib.sha256(name).hexdigest()[:8]
    return path.with_name(f".{name[:_LONGEST_BEGINNING].decode(errors='ignore')}{_MARK}{mark}")


def final_path(path: Path) -> Path:
    """Return where a file will be that is written to `path`, which may be a temporary path."""
    return _final_paths.get(path, path)


@contextmanager
def full_disk_said(folder: Path) -> Iterator[None]:
    """Where the body fails because the disk of `folder` is full, say so in a sentence.

    The libraries that write files report a full disk in many ways, and some hide the cause. So
    after any error that does not name it, a small file is written to find out.

    Raises:
        NoSpaceError: the disk is full.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if says_full(error) or _is_full(folder):
            raise NoSpaceError(
                f"no space left in {folder}: free some space, or choose another place"
            ) from error
        raise


def flush(path: Path) -> None:
    """Wait until what was written to a file or folder is on the disk.

    Otherwise a file may have its name but not its content after a power failure.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot do it
            raise
    finally:
        os.close(handle)


def says_full(error: Exception) -> bool:
    """Return whether an error names a full disk as its cause."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    return _FULL_IN_TEXT.search(str(error)) is not None


def _make_temporary(path: Path) -> tuple[int, Path]:
    """Make an empty file beside `path`, and return its handle, which holds a lock, and its path."""
    name = os.fsencode(path.name)
    require(len(name) <= _LONGEST_NAME, f"cannot write {path}: choose a shorter name")
    beginning = name[:_LONGEST_BEGINNING].decode(errors="ignore")
    require_no_file_in_the_way(path.parent)
    try:
        require(not path.is_dir(), f"cannot write {path}, which is a folder: choose another name")
        with full_disk_said(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(path.parent)
            handle, made = tempfile.mkstemp(
                prefix=f".{beginning}{_MARK}", suffix=path.suffix[:16], dir=path.parent
            )
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror}): choose a folder you may write to"
        ) from error
    try_lock(handle)
    _final_paths[Path(made)] = path
    return handle, Path(made)


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder; once for each folder."""
    if folder in _swept:
        return
    _swept.add(folder)
    found: list[Path] = []
    with suppress(OSError), os.scandir(folder) as entries:
        found = [Path(entry) for entry in entries if _TEMPORARY.fullmatch(entry.name)]
    for path in found:
        with suppress(OSError):  # Another process may be first, or the file be somebody else's.
            handle = os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
            try:
                age = time.time() - os.fstat(handle).st_mtime
                if age > _STALE_SECONDS and try_lock(handle):
                    path.unlink()
            finally:
                os.close(handle)


def _is_full(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(_PROBE)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno in _FULL
    return False
