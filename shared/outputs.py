"""Refuse to replace files: what exists already, what another run is writing, what a run reads."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.atomic import lock_beside
from shared.errors import UserError
from shared.file_lock import sole_owner
from shared.folders import require_no_file_in_the_way


def require_free(outputs: Iterable[Path], inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Check that writing `outputs` replaces nothing that the user may still want.

    Args:
        outputs: the files to be written.
        inputs: the files that are read for them. They are never replaced.
        force: whether other files may be replaced.

    Raises:
        UserError: an output is an input under whatever name, or exists and may not be replaced, or
            its folder is a file.
    """
    read = [path for path in inputs if path.exists()]
    for output in outputs:
        require_no_file_in_the_way(output.parent)
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


@contextmanager
def sole_writer(out: Path, name: str) -> Iterator[None]:
    """Keep other processes from writing the files that are called `name` into the folder `out`.

    A folder that is made for it and stays empty is removed in the end.

    Raises:
        UserError: another process writes them, or the folder cannot be written.
    """
    path = out / name
    advice = "choose another --out or another name"
    was_there = out.is_dir()
    try:
        with sole_owner(lock_beside(path), f"{path} is being written", advice):
            yield
    finally:
        if not was_there:
            with suppress(OSError):  # it holds the files
                out.rmdir()
