"""Write files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from shared.errors import UserError, require


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` if the body succeeds.

    Raises:
        UserError: the folder cannot be made or written to, or `path` is a folder.
    """
    try:
        require(not path.is_dir(), f"cannot write {path}, which is a folder: choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name}-", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror}): choose a folder you may write to"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes private files
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def files_together(paths: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Yield a temporary path for each of `paths`; rename all of them if the body succeeds.

    Paths that cannot be written are refused before the body runs.

    Raises:
        UserError: a folder cannot be made or written to, or a path is a folder.
    """
    with ExitStack() as stack:
        yield {name: stack.enter_context(atomic_path(path)) for name, path in paths.items()}
