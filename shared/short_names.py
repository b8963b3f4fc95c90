"""Name paths as briefly as they can be told apart."""

from collections import Counter
from collections.abc import Sequence


def short_names(paths: Sequence[Sequence[str]], joint: str) -> tuple[str, ...]:
    """Name each path after its last part, and put the parts before it there where that is needed.

    Args:
        paths: the parts of each path, at least one.
        joint: what is put between the parts of a name.

    Returns:
        The names, in the same order. They are all different if the paths are.
    """
    lengths = [1] * len(paths)
    while True:
        names = [joint.join(each[-length:]) for each, length in zip(paths, lengths, strict=True)]
        used = Counter(names)
        longer = [
            length + (used[name] > 1 and length < len(each))
            for each, length, name in zip(paths, lengths, names, strict=True)
        ]
        if longer == lengths:
            return tuple(names)
        lengths = longer
