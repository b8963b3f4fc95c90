"""Import x-transformers, and refuse versions that the models were not tested with.

The cached decoder reads the insides of x-transformers' layers, and the weights in a checkpoint
carry the names that x-transformers gives them. Both may change with any release.

x-transformers imports einx, which tells torch's compiler of its functions and thereby loads it, for
half as long as loading torch takes. Only training with `compile` needs that, and calls
`tell_compiler` first.

Use `from stage2_prior.x_transformers_guard import Decoder, Encoder`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch

from shared.errors import UserError

__all__ = [
    "Attention",
    "Decoder",
    "Encoder",
    "FeedForward",
    "apply_rotary_pos_emb",
    "tell_compiler",
]

Function = Callable[..., Any]

_not_told: list[Function] = []

OLDEST, NEWEST = "2.4.0", "2.31.10"  # pyproject.toml names the same range


def require_tested(installed: str) -> None:
    """Raise UserError unless a version lies in the tested range."""
    if not _numbers(OLDEST) <= _numbers(installed) <= _numbers(NEWEST):
        raise UserError(
            f"x-transformers {installed} is installed, but only the versions {OLDEST} to {NEWEST} "
            f'are known to work: run pip install "x-transformers=={NEWEST}"'
        )


def _numbers(text: str) -> tuple[int, ...]:
    """Split a version such as 2.31.10 into its three numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Note which functions the body wants to tell the compiler of, instead of telling it."""
    tell = torch.compiler.allow_in_graph

    def note(function: Function) -> Function:
        _not_told.append(function)
        return function

    torch.compiler.allow_in_graph = note
    try:
        yield
    finally:
        torch.compiler.allow_in_graph = tell


def tell_compiler() -> None:
    """Tell torch's compiler of einx's functions, which it must not look into."""
    while _not_told:
        torch.compiler.allow_in_graph(_not_told.pop())


require_tested(version("x-transformers"))

with _without_compiler():
    from x_transformers import Decoder, Encoder
    from x_transformers.x_transformers import Attention, FeedForward, apply_rotary_pos_emb
