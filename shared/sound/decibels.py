"""Levels in decibels as people write them, and as factors."""

import math
import re

from shared.errors import UserError

LARGEST_CHANGE = 60.0  # dB

_DECIBELS = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:dB)?", re.ASCII | re.IGNORECASE)


def parse_decibels(text: str) -> float:
    """Read a change of level such as `-3dB`, `+1.5 dB` or `2`.

    Raises:
        UserError: the text is no such number, or it is beyond 60 dB.
    """
    found = _DECIBELS.fullmatch(text.strip())
    if found is None:
        raise UserError(f"'{text}' is not a change of level: write it as -3dB or +1.5dB")
    decibels = float(found.group(1))
    if abs(decibels) > LARGEST_CHANGE:
        raise UserError(
            f"'{text}' is too large a change of level: give -{LARGEST_CHANGE:g} to "
            f"{LARGEST_CHANGE:g} dB"
        )
    return decibels


def factor(decibels: float) -> float:
    """Return what samples are multiplied by for a change of level."""
    return float(10 ** (decibels / 20))


def decibels(factor: float) -> float:
    """Return the level of a factor or of an amplitude; minus infinity for 0."""
    return 20 * math.log10(factor) if factor > 0 else -math.inf
