"""Several files that appear together at the end of some work, or not at all."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from shared.atomic import atomic_path


@contextmanager
def files_together(paths: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Yield a temporary path for each of `paths`; all are renamed if the body succeeds.

    Places that cannot be written are refused before the work, not after it.

    Raises:
        UserError: a folder cannot be made or written to.
    """
    with ExitStack() as stack:
        yield {name: stack.enter_context(atomic_path(path)) for name, path in paths.items()}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON. Paths become strings; nan and infinities, which JSON lacks, null."""
    path.write_text(json.dumps(_plain(content), indent=2) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
