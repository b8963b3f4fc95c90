"""The quantiser: logits over codebook entries become vectors, softly in training only.

Training (Kim et al., 2021): y = softmax((z + g) / tau) with Gumbel noise g, q = sum_k y_k e_k.
Inference: q = e_argmax. There is no distance matching and no commitment loss. This project adds
three things, which the paper preset leaves off:
- The noise can be faded in.
- A straight-through phase computes the hard vectors forward and the gradient of the soft ones, so
  that the decoder ends its training on the vectors of inference.
- Logits can be tied to the entries. The encoder then gives a point for each codebook, and the logit
  of an entry is higher the nearer the entry is. A mixture of the entries near a point is close to
  that point, so that gradients pass the quantiser nearly unchanged.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stage1_vqvae.config import QuantizerSchedule


@dataclass  # not frozen, because Fabric rebuilds the inputs of a module
class Softness:
    """How soft the assignment is at one step of training.

    Attributes:
        temperature: tau, the temperature of the softmax.
        noise: the factor of the Gumbel noise.
        hard: straight-through, with the hard vectors forward and the soft gradient backward.
    """

    temperature: float = 1.0
    noise: float = 1.0
    hard: bool = False


def softness(schedule: QuantizerSchedule, progress: float) -> Softness:
    """Return the quantiser's state at the fraction `progress` of training."""
    if progress >= schedule.hard_from < 1:
        return Softness(schedule.temperature_end, 0.0, hard=True)
    annealed = min(1.0, progress / schedule.temperature_until) if schedule.temperature_until else 1
    change = schedule.temperature_end - schedule.temperature_start
    noise = min(1.0, progress / schedule.noise_full_at) if schedule.noise_full_at else 1.0
    return Softness(schedule.temperature_start + annealed * change, noise)


# Of tied logits. At temperature 1 a mixture then consists of the nearest entries, hardly of others.
SHARPNESS = 3.5


class Quantizer(nn.Module):
    """Holds the codebooks, `[sources or 1, codebooks, entries, size]`.

    The vector of a source is the concatenation of its codebooks' vectors. If the logits are tied,
    they are computed from points in a cube, which the entries fill evenly before training.
    """

    def __init__(
        self,
        sources: int,
        codebooks: int,
        entries: int,
        size: int,
        shared: bool = False,
        tied: bool = False,
    ) -> None:
        """Make codebooks.

        Args:
            sources: how many sources there are.
            codebooks: of a source.
            entries: of a codebook.
            size: of an entry's vector.
            shared: whether all sources have the same codebooks.
            tied: whether logits are computed from points.
        """
        super().__init__()
        self.sources, self.entries, self.tied = sources, entries, tied
        shape = (1 if shared else sources, codebooks, entries, size)
        if tied:
            even = 2 * torch.quasirandom.SobolEngine(size).draw(entries) - 1
            self.codebooks = nn.Parameter(even.expand(shape).clone())
        else:
            self.codebooks = nn.Parameter(torch.randn(shape))

    @property
    def inputs(self) -> int:
        """How many numbers the encoder gives for a codebook: logits or, if tied, a point."""
        return self.codebooks.shape[-1] if self.tied else self.entries

    def logits(self, encoded: Tensor) -> Tensor:
        """Turn the encoder's output `[B, T, S, H, inputs]` into logits `[B, T, S, H, m]`."""
        if not self.tied:
            return encoded
        points = torch.tanh(encoded)
        books = self.codebooks.expand(self.sources, -1, -1, -1)
        # Minus half the squared distance. The point's own square is left out, because it is the
        # same for all entries.
        nearness = torch.einsum("btshd,shmd->btshm", points, books) - books.square().sum(-1) / 2
        # If the cube is divided equally among the entries, each has a cube of this side.
        side = 2 * self.entries ** (-1 / self.inputs)
        return SHARPNESS / side**2 * nearness

    def forward(self, logits: Tensor, softness: Softness) -> Tensor:
        """Quantise logits `[B, T, S, H, m]` to vectors `[B, T, S, H * size]` in training."""
        return self._mix(assign(logits, softness))

    def codes(self, logits: Tensor) -> Tensor:
        """Choose codes `[B, T, S, H]` by logits `[B, T, S, H, m]`."""
        return logits.argmax(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Look up the vectors `[B, T, S, H * size]` of codes `[B, T, S, H]`."""
        books = self.codebooks.expand(self.sources, -1, -1, -1)
        source = torch.arange(books.shape[0], device=codes.device)[:, None]
        book = torch.arange(books.shape[1], device=codes.device)
        return books[source, book, codes].flatten(-2)

    def _mix(self, assignment: Tensor) -> Tensor:
        books = self.codebooks.expand(self.sources, -1, -1, -1)
        return torch.einsum("btshm,shmd->btshd", assignment, books).flatten(-2)


def assign(logits: Tensor, softness: Softness) -> Tensor:
    """Compute the weights y of the entries `[..., m]` from logits; they sum to 1."""
    if softness.hard:
        soft = F.softmax(logits / softness.temperature, dim=-1)
        hard = F.one_hot(logits.argmax(-1), logits.shape[-1]).to(soft)
        return hard + soft - soft.detach()
    if softness.noise > 0:
        uniform = torch.rand_like(logits, dtype=torch.float32).clamp_(1e-9, 1 - 1e-7)
        logits = logits - softness.noise * torch.log(-torch.log(uniform))
    return F.softmax(logits / softness.temperature, dim=-1)
