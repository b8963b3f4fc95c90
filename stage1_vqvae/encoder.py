"""The encoder: a stereo mixture in, logits over the entries of every source's codebooks out."""

import torch
from torch import Tensor, nn

from stage1_vqvae.convnext import ConvNeXtStack
from stage1_vqvae.spectral import analyse, mid_side

COMPRESSION = 0.4  # exponent of the magnitude; keeps quiet partials visible beside loud ones
LOGIT_STD = 3.0  # wide initial logits: narrow ones leave the soft mixture uniform and the codebooks collapse


def features(padded: Tensor, hop: int) -> Tensor:
    """Padded audio to magnitude-compressed spectra with phase, real and imaginary: [B, T, 4 * (hop + 1)]."""
    spectrum = analyse(mid_side(padded), hop)
    compressed = spectrum * (spectrum.abs() + 1e-6) ** (COMPRESSION - 1)
    return torch.view_as_real(compressed).permute(0, 2, 1, 3, 4).flatten(2)


class Encoder(nn.Module):
    """Padded audio [B, 2, (T + 1) * hop] to logits [B, T, sources, codebooks, entries]."""

    def __init__(
        self,
        sources: int,
        codebooks: int,
        entries: int,
        hop: int,
        width: int,
        blocks: int,
        kernel: int,
        expansion: int,
        layer_scale: float,
    ) -> None:
        super().__init__()
        self.hop = hop
        self.shape = (sources, codebooks, entries)
        self.project = nn.Linear(4 * (hop + 1), width)
        self.norm = nn.LayerNorm(width)
        self.stack = ConvNeXtStack(width, blocks, kernel, expansion, layer_scale)
        self.head = nn.Linear(width, sources * codebooks * entries)
        nn.init.normal_(self.head.weight, std=LOGIT_STD / width**0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, padded: Tensor) -> Tensor:
        hidden = self.stack(self.norm(self.project(features(padded, self.hop))))
        return self.head(hidden).unflatten(-1, self.shape)
