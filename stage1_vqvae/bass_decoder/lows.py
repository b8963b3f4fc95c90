"""The lows of the bass decoder: a complex spectrum for each frame of codes.

Codes hold the phases of the lowest partials, and a waveform can be written from them as the codec's
own decoder does. Above, they do not, and a synthesiser plays (`synthesis.py`).
"""

import torch
from torch import Tensor, nn

from stage1_vqvae.convnext import ConvNeXtStack, StackSizes
from stage1_vqvae.spectral import synthesise

HIGHEST_HZ = 600.0  # no crossover may be above it


class Lows(nn.Module):
    """Turns features of the frames `[B, T, features]` into the lows of a mono sound."""

    def __init__(self, features: int, sizes: StackSizes, sample_rate: int, hop: int) -> None:
        """Make a network with random weights.

        Args:
            features: how many numbers are read in a frame.
            sizes: of the ConvNeXt stack.
            sample_rate: of the audio, in Hz.
            hop: samples per frame.
        """
        super().__init__()
        self.hop = hop
        self.bins = min(hop + 1, 1 + round(HIGHEST_HZ * 2 * hop / sample_rate))
        self.project = nn.Linear(features, sizes.width)
        self.stack = ConvNeXtStack(sizes)
        self.head = nn.Linear(sizes.width, 2 * self.bins)
        # The output starts near silence, not near full scale.
        nn.init.normal_(self.head.weight, std=0.1 / sizes.width**0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the complex spectrum of the lowest bins `[B, T, bins]` (see `spectral.py`)."""
        parts = self.head(self.stack(self.project(features))).float()
        return torch.view_as_complex(parts.unflatten(-1, (self.bins, 2)))

    def synthesise(self, spectrum: Tensor) -> Tensor:
        """Turn T frames of a spectrum from `forward` into the samples between their centres.

        Returns:
            `[B, (T - 1) * hop]`.
        """
        whole = nn.functional.pad(spectrum, (0, self.hop + 1 - self.bins))
        return synthesise(whole, self.hop, (spectrum.shape[-2] - 1) * self.hop)
