"""Give models that are compared names that tell them apart."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from shared.errors import require
from shared.short_names import short_names

SHIPPED_NAME = "shipped"


def name_models(
    paths: Sequence[Path | None], labels: Sequence[str] = (), kind: str = "model"
) -> tuple[str, ...]:
    """Name models after their run folders or files, in the same order.

    Where two names are equal, the names of the folders that they are in are put before them.

    Args:
        paths: run folders or .safetensors files; None stands for the model that ships with the
            project.
        labels: names to use instead, one for each path.
        kind: what error messages call a model.

    Raises:
        UserError: a model is given twice, or the labels are not one different name for each.
    """
    if labels:
        require(
            len(labels) == len(paths) and len({*labels}) == len(labels) and all(labels),
            f"there must be a different --label for each {kind}: give {len(paths)} of them",
        )
        return tuple(labels)
    parts = [_parts(path) for path in paths]
    for given, count in Counter(parts).items():
        require(count == 1, f"the {kind} {'/'.join(given)} is given more than once: give it once")
    return short_names(parts, "-")


def folder_name(name: str) -> str:
    """Turn the name of a model into that of a folder: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _parts(path: Path | None) -> tuple[str, ...]:
    """Return the names of a path's folders, and its own without the suffix of a file of weights."""
    if path is None:
        return (SHIPPED_NAME,)
    parts = path.resolve().parts
    names = parts[1:] or parts  # without the root of the file system
    return (*names[:-1], names[-1].removesuffix(".safetensors"))
