"""Import librosa where nothing can be kept in the usual places.

librosa has numba compile some of its functions, and keep them beside its own files or in the user's
cache. Where neither can be written, as in a read-only installation without HOME, numba raises
RuntimeError while librosa is imported. This module then has them kept in the folder for temporary
files, in a folder that only this user can write.

Use `from shared.sound.librosa_guard import librosa`. librosa loads most of its modules when they
are first used; they have the same cache.
"""

import os
import stat
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

__all__ = ["librosa"]

_VARIABLE = "NUMBA_CACHE_DIR"


def find_numba_cache() -> Path | None:
    """Return the folder in which numba must be told to keep functions; None where it finds one."""
    if os.environ.get(_VARIABLE):
        return None
    package = find_spec("librosa")
    usual = [Path(place) for place in (package and package.submodule_search_locations) or ()]
    with suppress(RuntimeError):  # there may be no home at all
        usual.append(Path.home() / ".cache")
    return None if any(_writable(folder) for folder in usual) else _temporary()


def _writable(folder: Path) -> bool:
    """Whether a folder, or the nearest one above it that exists, can be written."""
    existing = next((each for each in (folder, *folder.parents) if each.exists()), None)
    return existing is not None and os.access(existing, os.W_OK)


def _temporary() -> Path:
    """Return a folder of this user for temporary files, the same one each time if possible.

    What numba keeps is code that is run later. A folder that another user can write is not used.
    """
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"bassprior-numba-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    closed = os.name != "posix" or not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if stat.S_ISDIR(found.st_mode) and own and closed:
        return folder
    return Path(tempfile.mkdtemp(prefix="bassprior-numba-"))


_cache = find_numba_cache()
if _cache is not None:
    os.environ[_VARIABLE] = str(_cache)

import librosa  # noqa: E402
