"""Folders that results are written into, which may not exist yet."""

import os
from pathlib import Path

from shared.errors import require


def existing_folder(folder: Path) -> Path:
    """Return the folder, or where it does not exist yet the closest folder above it that does."""
    return next(each for each in (folder, *folder.absolute().parents) if each.is_dir())


def require_no_file_in_the_way(folder: Path) -> None:
    """Check that no part of the path of a folder, which may not exist yet, is a file.

    Raises:
        UserError: one is.
    """
    found = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), Path())
    require(
        found.is_dir(),
        f"{found} is not a folder, but the results need one: choose another place",
    )
