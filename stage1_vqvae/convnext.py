"""The block that encoder and decoder consist of: ConvNeXt (Liu et al., 2022) over frames.

Vocos uses it the same way.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class StackSizes:
    """The sizes of a `ConvNeXtStack`.

    Attributes:
        width: channels.
        blocks: how many blocks follow one another.
        kernel: frames that a depthwise convolution reads; odd.
        expansion: how many times wider the hidden layer of the perceptron is.
        layer_scale: the initial factor of each block's contribution.
    """

    width: int
    blocks: int
    kernel: int
    expansion: int
    layer_scale: float

    @property
    def reach(self) -> int:
        """How many frames to either side an output frame depends on."""
        return self.blocks * (self.kernel // 2)


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution over time and a perceptron per frame, added to the block's input."""

    def __init__(self, sizes: StackSizes) -> None:
        """Make a block with random weights."""
        super().__init__()
        width, hidden, kernel = sizes.width, sizes.expansion * sizes.width, sizes.kernel
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), sizes.layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        """Compute `[B, T, C]` from `[B, T, C]`."""
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        y = self.contract(nn.functional.gelu(self.expand(self.norm(y))))
        return x + self.scale * y


class ConvNeXtStack(nn.Module):
    """Blocks one after another, and a final layer norm."""

    def __init__(self, sizes: StackSizes) -> None:
        """Make a stack with random weights."""
        super().__init__()
        self.blocks = nn.ModuleList(ConvNeXtBlock(sizes) for _ in range(sizes.blocks))
        self.norm = nn.LayerNorm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """Compute `[B, T, C]` from `[B, T, C]`."""
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
