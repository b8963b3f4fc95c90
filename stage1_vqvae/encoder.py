"""The encoder: a stereo mixture in, numbers for every source's codebooks out, of which the quantiser makes logits."""

import math

import torch
from torch import Tensor, nn

from stage1_vqvae.convnext import ConvNeXtStack
from stage1_vqvae.spectral import analyse, mid_side

COMPRESSION = 0.4  # exponent of the magnitude; keeps quiet partials visible beside loud ones
PHASE_HZ = 3450  # up to here the encoder is given phases; above, no code could hold them
BANDS = 24  # of what lies above


class Features(nn.Module):
    """Padded audio [B, 2, (T + 1) * hop] to what the encoder reads of mid and side [B, T, size].

    Below PHASE_HZ the compressed spectrum, real and imaginary; above it the compressed level of bands of equal ratio.
    """

    averages: Tensor  # [bins above, bands]

    def __init__(self, sample_rate: int, hop: int) -> None:
        super().__init__()
        bins = hop + 1
        self.hop, self.low = hop, round(PHASE_HZ * 2 * hop / sample_rate)
        ratios = torch.linspace(0, 1, BANDS + 1, dtype=torch.float64)
        edges = (self.low * (bins / self.low) ** ratios).round().long().unique() - self.low
        above = torch.arange(bins - self.low)[:, None]
        members = ((above >= edges[:-1]) & (above < edges[1:])).float()
        self.register_buffer("averages", members / members.sum(0), persistent=False)
        self.size = 4 * self.low + 2 * members.shape[1]

    def forward(self, padded: Tensor) -> Tensor:
        spectrum = analyse(mid_side(padded), self.hop)
        phased, rest = spectrum[..., : self.low], spectrum[..., self.low :]
        compressed = phased * (phased.abs() + 1e-6) ** (COMPRESSION - 1)
        levels = (rest.abs().square() @ self.averages + 1e-8) ** (COMPRESSION / 2)
        by_frame = (torch.view_as_real(compressed).flatten(-2), levels)
        return torch.cat([part.transpose(1, 2).flatten(2) for part in by_frame], dim=-1)


class Encoder(nn.Module):
    """Padded audio [B, 2, (T + 1) * hop] to [B, T, *shape], each number of about `std` at the start."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        std: float,
        sample_rate: int,
        hop: int,
        width: int,
        blocks: int,
        kernel: int,
        expansion: int,
        layer_scale: float,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.features = Features(sample_rate, hop)
        self.project = nn.Linear(self.features.size, width)
        self.norm = nn.LayerNorm(width)
        self.stack = ConvNeXtStack(width, blocks, kernel, expansion, layer_scale)
        self.readout = nn.Linear(width, math.prod(shape))
        nn.init.normal_(self.readout.weight, std=std / width**0.5)
        nn.init.zeros_(self.readout.bias)

    def forward(self, padded: Tensor) -> Tensor:
        hidden = self.stack(self.norm(self.project(self.features(padded))))
        return self.readout(hidden).unflatten(-1, self.shape)
