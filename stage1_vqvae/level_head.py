"""The level head: a small network that reads each source's levels in bands from its codes.

Overtones are so soft that they hardly count in a loss of waveforms, and codes that are trained with
it alone say little about them. A loss on this reading makes the vectors of a few frames say how
loud each band of each source is. A bass decoder needs this, because it plays partials and noise in
these bands. The head is only used in training.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.sources import SOURCES
from stage1_vqvae.spectral import analyse, mid_side

BANDS = 20
LOWEST_HZ, HIGHEST_HZ = 200.0, 10_000.0
REACH = 1  # frames to either side that are read as well
WIDTH = 64
FLOOR = 1e-6  # power; about -80 dB re a sine of full scale
_FIRST_LEVEL = -4.0  # what is read before training, in bels


class LevelHead(nn.Module):
    """Reads levels `[B, T, sources, BANDS]` in bels from vectors `[B, T, sources, size]`."""

    filters: Tensor  # [hop + 1, BANDS]

    def __init__(self, size: int, sample_rate: int, hop: int) -> None:
        """Make a head that reads one level everywhere before training.

        Args:
            size: of a source's vector.
            sample_rate: of the audio.
            hop: samples per frame.
        """
        super().__init__()
        self.hop = hop
        inputs, sources = (2 * REACH + 1) * size, len(SOURCES)
        self.hidden = nn.Parameter(torch.randn(sources, inputs, WIDTH) * inputs**-0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(sources, WIDTH))
        self.weight = nn.Parameter(torch.zeros(sources, WIDTH, BANDS))
        self.bias = nn.Parameter(torch.full((sources, BANDS), _FIRST_LEVEL))
        self.register_buffer("filters", level_filters(sample_rate, hop), persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Compute the levels of every frame."""
        padded = F.pad(vectors, (0, 0, 0, 0, REACH, REACH))
        around = padded.unfold(1, 2 * REACH + 1, 1).flatten(-2)
        hidden = torch.einsum("btsd,sdw->btsw", around, self.hidden) + self.hidden_bias
        return torch.einsum("btsw,swn->btsn", F.gelu(hidden), self.weight) + self.bias

    @torch.no_grad()
    def target(self, stems: Tensor) -> Tensor:
        """Measure the levels of padded stems `[B, sources, 2, (T + 1) * hop]`."""
        spectrum = analyse(mid_side(stems), self.hop)
        power = torch.view_as_real(spectrum).square().sum((-1, 2))  # of mid and side
        return (power @ self.filters + FLOOR).log10().transpose(1, 2)


def level_filters(sample_rate: int, hop: int) -> Tensor:
    """Make triangular filters `[hop + 1, BANDS]` that are evenly spaced in octaves.

    At each frequency between the centres of the lowest and the highest they add up to 1. Bands
    above the Nyquist frequency are empty.
    """
    octaves = torch.linspace(math.log2(LOWEST_HZ), math.log2(HIGHEST_HZ), BANDS)
    frequency = torch.linspace(0, sample_rate / 2, hop + 1).clamp(min=1.0).log2()
    distance = (frequency[:, None] - octaves) / (octaves[1] - octaves[0])
    return (1 - distance.abs()).clamp(min=0)


def level_distance(levels: Tensor, target: Tensor) -> Tensor:
    """Compute the mean distance of levels from their targets, in bels."""
    return (levels.float() - target).abs().mean()
