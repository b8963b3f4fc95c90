"""One part of a job that is divided into equal parts, written as K/N."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from shared.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1 on) of `count` parts."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Raise UserError where there is no such part."""
        if not 1 <= self.number <= self.count:
            raise UserError(f"there is no shard {self}: give K/N with K from 1 to N")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "K/N".

        Raises:
            UserError: it is written in another way, or there is no such part.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None:
            raise UserError(f"there is no shard '{text}': write the first of four parts as 1/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        """Write it as K/N."""
        return f"{self.number}/{self.count}"

    def share(self, items: Sequence[T]) -> list[T]:
        """Return the items of this part: every `count`-th one."""
        return list(items[self.number - 1 :: self.count])


WHOLE = Shard()
