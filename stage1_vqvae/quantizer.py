"""The quantiser: logits over codebook entries become vectors, softly in training and hard at inference.

Training (Kim et al., 2021): y = softmax((z + g) / tau) with Gumbel noise g, q = sum_k y_k e_k.
Inference: q = e_argmax. There is no distance matching and no commitment loss. Two additions of ours, both off in the
paper preset: the noise can be scaled (faded in), and a straight-through phase uses the hard vectors forward
with the soft gradient, so that the decoder ends its training on what it will see.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass  # not frozen: Fabric rebuilds a module's inputs
class Softness:
    """How soft the assignment is at one step of training."""

    temperature: float = 1.0
    noise: float = 1.0  # scale of the Gumbel noise
    hard: bool = False  # straight-through: hard forward, soft backward


class Quantizer(nn.Module):
    """Codebooks [sources or 1, codebooks, entries, size]; a source's vector is the concatenation of its codebooks'."""

    def __init__(
        self, sources: int, codebooks: int, entries: int, size: int, shared: bool = False
    ) -> None:
        super().__init__()
        self.sources, self.entries = sources, entries
        self.codebooks = nn.Parameter(
            torch.randn(1 if shared else sources, codebooks, entries, size)
        )

    def forward(self, logits: Tensor, softness: Softness) -> Tensor:
        """Logits [B, T, S, H, m] to vectors [B, T, S, H * size]: soft or straight-through, for training."""
        return self._mix(assign(logits, softness))

    def codes(self, logits: Tensor) -> Tensor:
        """Logits [B, T, S, H, m] to codes [B, T, S, H]."""
        return logits.argmax(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes [B, T, S, H] to vectors [B, T, S, H * size]."""
        books = self.codebooks.expand(self.sources, -1, -1, -1)
        source = torch.arange(books.shape[0], device=codes.device)[:, None]
        book = torch.arange(books.shape[1], device=codes.device)
        return books[source, book, codes].flatten(-2)

    def _mix(self, assignment: Tensor) -> Tensor:
        books = self.codebooks.expand(self.sources, -1, -1, -1)
        return torch.einsum("btshm,shmd->btshd", assignment, books).flatten(-2)


def assign(logits: Tensor, softness: Softness) -> Tensor:
    """The weights y of the entries [..., m]; they sum to one."""
    if softness.hard:
        soft = F.softmax(logits / softness.temperature, dim=-1)
        hard = F.one_hot(logits.argmax(-1), logits.shape[-1]).to(soft)
        return hard + soft - soft.detach()
    if softness.noise > 0:
        uniform = torch.rand_like(logits, dtype=torch.float32).clamp_(1e-9, 1 - 1e-7)
        logits = logits - softness.noise * torch.log(-torch.log(uniform))
    return F.softmax(logits / softness.temperature, dim=-1)
