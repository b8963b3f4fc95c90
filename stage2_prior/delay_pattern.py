"""Delay each stream of tokens by its own number of steps, so that one causal model predicts all.

The pattern is that of Copet et al., *Simple and Controllable Music Generation* (2023). At step s
the model predicts the token of frame s - delays[k] of each stream k. When it predicts a stream with
a longer delay, it has therefore already seen the tokens of the same frame in the streams with
shorter delays. An example with three streams of three frames:

    delays (0, 0, 1)   step   0   1   2   3
    stream 0           frame  0   1   2   -
    stream 1           frame  0   1   2   -
    stream 2           frame  -   0   1   2
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DelayPattern:
    """The delays of the streams, in steps. `revert(apply(x, fill)) == x` for all x and fill.

    Raises:
        ValueError: there is no stream, or the smallest delay is not 0.
    """

    delays: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the delays."""
        if not self.delays or min(self.delays) != 0:
            raise ValueError(f"the smallest of the delays {self.delays} must be 0")

    @classmethod
    def pairs(cls, streams: int) -> "DelayPattern":
        """Predict two streams of a frame in each step."""
        return cls(tuple(k // 2 for k in range(streams)))

    @property
    def streams(self) -> int:
        """The number of streams K."""
        return len(self.delays)

    @property
    def longest(self) -> int:
        """The number of steps that follow after the last frame of the stream without a delay."""
        return max(self.delays)

    def steps(self, frames: int) -> int:
        """Return the number of steps for a number of frames."""
        return frames + self.longest

    def frames_of(self, stream: int, frames: int) -> slice:
        """Return the steps of the `frames` frames of a stream."""
        return slice(self.delays[stream], self.delays[stream] + frames)

    def apply(self, tokens: Tensor, fill: int) -> Tensor:
        """Delay tokens.

        Args:
            tokens: tokens by frame `[..., K, F]`.
            fill: the token of steps without a frame.

        Returns:
            Tokens by step `[..., K, steps(F)]`.
        """
        frames = tokens.shape[-1]
        delayed = tokens.new_full((*tokens.shape[:-1], self.steps(frames)), fill)
        for k in range(self.streams):
            delayed[..., k, self.frames_of(k, frames)] = tokens[..., k, :]
        return delayed

    def revert(self, delayed: Tensor) -> Tensor:
        """Turn tokens by step `[..., K, S]` into tokens by frame `[..., K, S - longest]`."""
        frames = delayed.shape[-1] - self.longest
        streams = [delayed[..., k, self.frames_of(k, frames)] for k in range(self.streams)]
        return torch.stack(streams, dim=-2)
