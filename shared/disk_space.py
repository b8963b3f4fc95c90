"""Say before long work that its files will not fit on the disk."""

import shutil
from pathlib import Path

from shared.console import err_console
from shared.errors import require
from shared.folders import existing_folder


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which may not exist yet."""
    return shutil.disk_usage(existing_folder(folder)).free


def require_space(folder: Path, size: int) -> None:
    """Check that files of `size` bytes altogether, which is known exactly, fit into a folder.

    Smaller files may fit where these do not, so that this is no NoSpaceError.

    Raises:
        UserError: they do not.
    """
    free = free_bytes(folder)
    require(
        size <= free,
        f"no space left in {folder}: the files need {in_words(size)}, and {in_words(free)} are "
        "free; free some space, or choose another place",
    )


def warn_of_space(folder: Path, size: int) -> None:
    """Warn the user where files of about `size` bytes altogether will fill the disk of a folder."""
    if size > free_bytes(folder):
        err_console.print(
            f"warning: the disk of {folder} will be full before the end: free some space"
        )


def in_words(size: float) -> str:
    """Write a number of bytes as a person would, such as "1.2 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
