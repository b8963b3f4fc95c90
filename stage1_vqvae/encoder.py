"""The encoder: a stereo mixture becomes the numbers that the quantiser turns into logits."""

import math

import torch
from torch import Tensor, nn

from stage1_vqvae.convnext import ConvNeXtStack, StackSizes
from stage1_vqvae.spectral import analyse, mid_side

COMPRESSION = 0.4  # exponent of magnitudes: quiet partials remain visible beside loud ones
PHASE_HZ = 3450  # the encoder reads phases below this; codes could not hold those above it
BANDS = 24  # how many bands the spectrum above PHASE_HZ is divided into


class Features(nn.Module):
    """Turns padded audio `[B, 2, (T + 1) * hop]` into what the encoder reads, `[B, T, size]`.

    These are, for mid and side: below PHASE_HZ the real and imaginary parts of the compressed
    spectrum, and above it the compressed levels of bands of equal ratio.
    """

    averages: Tensor  # [bins above PHASE_HZ, bands]

    def __init__(self, sample_rate: int, hop: int) -> None:
        """Divide the bins of a spectrum with `hop + 1` bins into phased ones and bands."""
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
        """Compute the features `[B, T, size]`; those of the phased bins come first."""
        spectrum = analyse(mid_side(padded), self.hop)
        phased, rest = spectrum[..., : self.low], spectrum[..., self.low :]
        compressed = phased * (phased.abs() + 1e-6) ** (COMPRESSION - 1)
        levels = (rest.abs().square() @ self.averages + 1e-8) ** (COMPRESSION / 2)
        by_frame = (torch.view_as_real(compressed).flatten(-2), levels)
        return torch.cat([part.transpose(1, 2).flatten(2) for part in by_frame], dim=-1)


class Encoder(nn.Module):
    """Turns padded audio `[B, 2, (T + 1) * hop]` into numbers for every codebook of each source."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        std: float,
        sample_rate: int,
        hop: int,
        sizes: StackSizes,
    ) -> None:
        """Make an encoder with random weights.

        Args:
            shape: the output's shape in a frame: sources, codebooks, numbers per codebook.
            std: the output's standard deviation.
            sample_rate: of the audio.
            hop: samples per frame.
            sizes: of the ConvNeXt stack.
        """
        super().__init__()
        self.shape = shape
        self.features = Features(sample_rate, hop)
        self.project = nn.Linear(self.features.size, sizes.width)
        self.norm = nn.LayerNorm(sizes.width)
        self.stack = ConvNeXtStack(sizes)
        self.readout = nn.Linear(sizes.width, math.prod(shape))
        nn.init.normal_(self.readout.weight, std=std / sizes.width**0.5)
        nn.init.zeros_(self.readout.bias)

    def forward(self, padded: Tensor) -> Tensor:
        """Compute `[B, T, *shape]`."""
        hidden = self.stack(self.norm(self.project(self.features(padded))))
        return self.readout(hidden).unflatten(-1, self.shape)
