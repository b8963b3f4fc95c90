"""Streams of tokens, each with its own delay, so that one causal step predicts several of them.

After Copet et al., *Simple and Controllable Music Generation* (2023): at step s the model predicts
the token of frame s - delays[k] of each stream k. A stream with a longer delay sees, within its own
frame, the tokens of those with a shorter one.

    delays (0, 1, 1)   step   0   1   2   3
    note               frame  0   1   2   -
    code 0             frame  -   0   1   2
    code 1             frame  -   0   1   2
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DelayPattern:
    """A delay in steps per stream. `revert(apply(x, fill)) == x` for all x and fill."""

    delays: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.delays or min(self.delays) != 0:
            raise ValueError(f"delays {self.delays}: there must be some, and the least must be 0")

    @classmethod
    def note_then_pairs(cls, codebooks: int) -> "DelayPattern":
        """The note leads; then two codebooks a step."""
        return cls((0, *(1 + h // 2 for h in range(codebooks))))

    @property
    def streams(self) -> int:
        """Number of streams K."""
        return len(self.delays)

    @property
    def longest(self) -> int:
        """Steps that are needed beyond the number of frames."""
        return max(self.delays)

    def steps(self, frames: int) -> int:
        """Steps that hold so many frames."""
        return frames + self.longest

    def frames_of(self, stream: int, frames: int) -> slice:
        """The steps at which a stream's `frames` frames lie."""
        return slice(self.delays[stream], self.delays[stream] + frames)

    def apply(self, tokens: Tensor, fill: int) -> Tensor:
        """Frames `[..., K, F]` -> steps `[..., K, steps(F)]`; `fill` where there is no frame."""
        frames = tokens.shape[-1]
        delayed = tokens.new_full((*tokens.shape[:-1], self.steps(frames)), fill)
        for k in range(self.streams):
            delayed[..., k, self.frames_of(k, frames)] = tokens[..., k, :]
        return delayed

    def revert(self, delayed: Tensor) -> Tensor:
        """Steps `[..., K, S]` -> frames `[..., K, S - longest]`."""
        frames = delayed.shape[-1] - self.longest
        streams = [delayed[..., k, self.frames_of(k, frames)] for k in range(self.streams)]
        return torch.stack(streams, dim=-2)

    def valid(self, frames: int) -> Tensor:
        """Boolean `[K, steps(frames)]`: where a stream has a frame."""
        return self.apply(torch.ones(self.streams, frames, dtype=torch.bool), fill=False)
