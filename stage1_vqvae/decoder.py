"""The decoder: one network turns the vectors of any selection of sources into their mixture."""

import torch
from torch import Tensor, nn

from stage1_vqvae.convnext import ConvNeXtStack, StackSizes
from stage1_vqvae.spectral import mid_side, synthesise

# The spectrum of music falls above this frequency like that of pink noise, and its side channel is
# softer than its mid channel. With outputs of that shape every bin learns at the pace of its
# loudness. With outputs of equal size, noise in the treble dominates for hundreds of steps.
KNEE_HZ = 300
SIDE = 0.3


class Decoder(nn.Module):
    """Turns vectors `[B, T, sources, size]` and a selection `[B, sources]` into spectra and audio.

    There are no skip connections from the encoder.
    """

    envelope: Tensor

    def __init__(
        self, sources: int, size: int, sample_rate: int, hop: int, sizes: StackSizes
    ) -> None:
        """Make a decoder with random weights.

        Args:
            sources: how many sources there are.
            size: the size of a source's vector.
            sample_rate: of the audio.
            hop: samples per frame.
            sizes: of the ConvNeXt stack.
        """
        super().__init__()
        self.hop = hop
        self.norm = nn.LayerNorm(sources * size)
        self.project = nn.Linear(sources * size, sizes.width)
        self.stack = ConvNeXtStack(sizes)
        self.head = nn.Linear(sizes.width, 4 * (hop + 1))
        # The output starts near silence, not near full scale.
        nn.init.normal_(self.head.weight, std=0.1 / sizes.width**0.5)
        nn.init.zeros_(self.head.bias)
        pink = 1 / (1 + torch.linspace(0, sample_rate / 2, hop + 1) / KNEE_HZ)
        envelope = torch.stack((pink, SIDE * pink))[..., None]
        self.register_buffer("envelope", envelope, persistent=False)

    def forward(self, vectors: Tensor, selection: Tensor) -> Tensor:
        """Compute the spectrum of mid and side `[B, 2, T, hop + 1]` of the selected sources.

        The vectors of the other sources are replaced by zeros.
        """
        masked = vectors * selection[:, None, :, None]
        hidden = self.stack(self.project(self.norm(masked.flatten(2))))
        parts = self.head(hidden).float().unflatten(-1, (2, self.hop + 1, 2))
        return torch.view_as_complex(parts * self.envelope).transpose(1, 2)

    def synthesise(self, spectrum: Tensor, num_samples: int) -> Tensor:
        """Turn a spectrum from `forward` into left and right `[B, 2, num_samples]`."""
        return mid_side(synthesise(spectrum, self.hop, num_samples))
