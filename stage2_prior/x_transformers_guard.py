"""Import x-transformers, and refuse versions that the models were not tested with.

The cached decoder reads the insides of x-transformers' layers, and the weights in a checkpoint
carry the names that x-transformers gives them. Both may change with any release.

Use `from stage2_prior.x_transformers_guard import Decoder, Encoder`.
"""

import re
from importlib.metadata import version

from shared.errors import UserError

__all__ = ["Attention", "Decoder", "Encoder", "FeedForward"]

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


require_tested(version("x-transformers"))

from x_transformers import Decoder, Encoder  # noqa: E402
from x_transformers.x_transformers import Attention, FeedForward  # noqa: E402
