"""The quantiser: logits over codebook entries become vectors, softly in training and hard at inference.

Training (Kim et al., 2021): y = softmax((z + g) / tau) with Gumbel noise g, q = sum_k y_k e_k.
Inference: q = e_argmax. There is no distance matching and no commitment loss. Three additions of ours, all off in the
paper preset: the noise can be scaled (faded in); a straight-through phase uses the hard vectors forward
with the soft gradient, so that the decoder ends its training on what it will see; and logits can be tied to the
entries: the encoder then gives a point per codebook, and the logit of an entry is how near it lies. A mixture of the
entries near a point is about that point, so that gradients pass the quantiser nearly unchanged.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stage1_vqvae.config import QuantizerSchedule


@dataclass  # not frozen: Fabric rebuilds a module's inputs
class Softness:
    """How soft the assignment is at one step of training."""

    temperature: float = 1.0
    noise: float = 1.0  # scale of the Gumbel noise
    hard: bool = False  # straight-through: hard forward, soft backward


def softness(schedule: QuantizerSchedule, progress: float) -> Softness:
    """The quantiser's state at a fraction `progress` of training."""
    if progress >= schedule.hard_from < 1:
        return Softness(schedule.temperature_end, 0.0, hard=True)
    annealed = min(1.0, progress / schedule.temperature_until) if schedule.temperature_until else 1
    change = schedule.temperature_end - schedule.temperature_start
    noise = min(1.0, progress / schedule.noise_full_at) if schedule.noise_full_at else 1.0
    return Softness(schedule.temperature_start + annealed * change, noise)


# Of tied logits: at temperature 1 a mixture reaches to the next entries, hardly farther.
SHARPNESS = 3.5


class Quantizer(nn.Module):
    """Codebooks [sources or 1, codebooks, entries, size]; a source's vector is the concatenation of its codebooks'.

    tied: logits are made of points in the cube that the entries fill evenly at the start.
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
        """Numbers that the encoder gives per codebook: the logits, or the point they are made of."""
        return self.codebooks.shape[-1] if self.tied else self.entries

    def logits(self, encoded: Tensor) -> Tensor:
        """What the encoder gives [B, T, S, H, inputs] to logits [B, T, S, H, m]."""
        if not self.tied:
            return encoded
        points = torch.tanh(encoded)
        books = self.codebooks.expand(self.sources, -1, -1, -1)
        # Half the squared distance, but for the point's own square, which is the same for all entries.
        nearness = torch.einsum("btshd,shmd->btshm", points, books) - books.square().sum(-1) / 2
        side = 2 * self.entries ** (-1 / self.inputs)  # of the cube each entry has to itself
        return SHARPNESS / side**2 * nearness

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
