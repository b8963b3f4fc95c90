"""One part of a job that is divided into equal parts, written as K/N."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from shared.errors import UserError, require

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1 on) of `count` parts."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Raise UserError where there is no such part."""
        require(1 <= self.number <= self.count, _refusal(str(self)))

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "K/N".

        Raises:
            UserError: it is written in another way, or there is no such part.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None:
            raise UserError(_refusal(text))
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        """Write it as K/N."""
        return f"{self.number}/{self.count}"

    def divided(self, number: int, count: int) -> "Shard":
        """Return part `number` (from 0 on) of this part, which is divided into `count` parts."""
        return Shard(self.number + number * self.count, self.count * count)

    def share(self, items: Sequence[T]) -> list[T]:
        """Return the items of this part: every `count`-th one."""
        return list(items[self.number - 1 :: self.count])


def _refusal(text: str) -> str:
    return f"the shard '{text}' is not K/N with K from 1 to N: write the first of four as 1/4"


WHOLE = Shard()
