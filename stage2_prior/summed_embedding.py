"""Embed several streams of tokens as one vector."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SummedEmbedding(nn.Embedding):
    """One embedding table for each stream. The vectors of all streams are summed."""

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        """Make the tables.

        Args:
            sizes: the number of tokens of each of the K streams.
            dim: the length D of a vector.
        """
        super().__init__(sum(sizes), dim)
        nn.init.normal_(self.weight, std=len(sizes) ** -0.5)
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed tokens `[..., K]` as vectors `[..., D]`."""
        rows = (tokens + self.offsets).flatten(0, -2)
        return F.embedding_bag(rows, self.weight, mode="sum").unflatten(0, tokens.shape[:-1])
