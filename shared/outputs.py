"""Refuse to replace files: what exists already, and above all what a run reads."""

import os
from collections.abc import Iterable
from pathlib import Path

from shared.errors import UserError


def require_free(outputs: Iterable[Path], inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Check that writing `outputs` replaces nothing that the user may still want.

    Args:
        outputs: the files to be written.
        inputs: the files that are read for them. They are never replaced.
        force: whether other files may be replaced.

    Raises:
        UserError: an output is an input under whatever name, or exists and may not be replaced.
    """
    read = [path for path in inputs if path.exists()]
    for output in outputs:
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
