"""Refuse to replace files: what exists already, what another run is writing, what a run reads."""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from shared.atomic import lock_beside
from shared.errors import UserError
from shared.file_lock import sole_owner


def require_free(outputs: Iterable[Path], inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Check that writing `outputs` replaces nothing that the user may still want.

    Args:
        outputs: the files to be written.
        inputs: the files that are read for them. They are never replaced.
        force: whether other files may be replaced.

    Raises:
        UserError: an output is an input under whatever name, or exists and may not be replaced, or
            is to lie in what is a file.
    """
    read = [path for path in inputs if path.exists()]
    for output in outputs:
        found = next((each for each in output.parents if os.path.lexists(each)), Path())
        if not found.is_dir():
            raise UserError(f"{found} is a file, but the results need a folder: give another --out")
        if not os.path.lexists(output):
            continue
        if output.exists() and any(output.samefile(path) for path in read):
            raise UserError(
                f"{output} is read by this command and would be replaced by it: choose another "
                "--out or another name"
            )
        if not force and not output.is_dir():
            raise UserError(
                f"{output} exists already: choose another --out or another name, or replace it "
                "with --force"
            )


def sole_writer(out: Path, name: str) -> AbstractContextManager[None]:
    """Keep other processes from writing the files that are called `name` into the folder `out`.

    Raises:
        UserError: another process writes them, or the folder cannot be written.
    """
    path = out / name
    advice = "choose another --out or another name"
    return sole_owner(lock_beside(path), f"{path} is being written", advice)
