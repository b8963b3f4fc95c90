"""The decoder: one network turns the vectors of any selection of sources into their sum's audio."""

import torch
from torch import Tensor, nn

from stage1_vqvae.convnext import ConvNeXtStack
from stage1_vqvae.spectral import mid_side, synthesise

# Music is pink: its spectrum falls from here on, and its side is quieter than its mid. Outputs of that shape let every
# bin learn at the pace of its loudness; outputs of equal size drown the treble in noise for hundreds of steps.
KNEE_HZ = 300
SIDE = 0.3


class Decoder(nn.Module):
    """Vectors [B, T, sources, size] and a selection [B, sources] to audio [B, 2, N]. No skips from the encoder."""

    envelope: Tensor

    def __init__(
        self,
        sources: int,
        size: int,
        sample_rate: int,
        hop: int,
        width: int,
        blocks: int,
        kernel: int,
        expansion: int,
        layer_scale: float,
    ) -> None:
        super().__init__()
        self.hop = hop
        self.norm = nn.LayerNorm(sources * size)
        self.project = nn.Linear(sources * size, width)
        self.stack = ConvNeXtStack(width, blocks, kernel, expansion, layer_scale)
        self.head = nn.Linear(width, 4 * (hop + 1))
        # Start near silence, not near full scale.
        nn.init.normal_(self.head.weight, std=0.1 / width**0.5)
        nn.init.zeros_(self.head.bias)
        pink = 1 / (1 + torch.linspace(0, sample_rate / 2, hop + 1) / KNEE_HZ)
        envelope = torch.stack((pink, SIDE * pink))[..., None]
        self.register_buffer("envelope", envelope, persistent=False)

    def forward(self, vectors: Tensor, selection: Tensor) -> Tensor:
        """The spectrum of mid and side [B, 2, T, hop + 1] of the selected sources; the others' vectors are zeroed."""
        masked = vectors * selection[:, None, :, None]
        hidden = self.stack(self.project(self.norm(masked.flatten(2))))
        parts = self.head(hidden).float().unflatten(-1, (2, self.hop + 1, 2))
        return torch.view_as_complex(parts * self.envelope).transpose(1, 2)

    def synthesise(self, spectrum: Tensor, num_samples: int) -> Tensor:
        """A spectrum of `forward` to audio [B, 2, num_samples]."""
        return mid_side(synthesise(spectrum, self.hop, num_samples))
