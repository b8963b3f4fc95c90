"""The pitch head: a linear reading of each source's semitone spectrum from its codes.

Codes that are trained for waveforms alone spend themselves on phases. A loss on this reading makes
the vectors of a single frame say which pitches sound and how loud, as speech codecs distil
linguistic features into theirs (SpeechTokenizer, Zhang et al., 2024). That is what a prior must
hear in the codes. The head is only used in training.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shared.sources import SOURCES
from stage1_vqvae.encoder import COMPRESSION
from stage1_vqvae.spectral import long_frames, mid_side

LOWEST, HIGHEST = 28, 100  # MIDI numbers, E1 to E7
STRIDE = 4  # only every fourth frame is compared: the windows are eight frames long


class PitchHead(nn.Module):
    """Reads semitone levels `[B, T, sources, pitches]` from vectors `[B, T, sources, size]`."""

    filters: Tensor  # [bins, pitches]

    def __init__(self, size: int, sample_rate: int, hop: int) -> None:
        """Make a head that reads silence before training.

        Args:
            size: of a source's vector.
            sample_rate: of the audio.
            hop: samples per frame.
        """
        super().__init__()
        self.hop = hop
        pitches = torch.arange(LOWEST, HIGHEST + 1)
        self.weight = nn.Parameter(torch.zeros(len(SOURCES), size, len(pitches)))
        self.bias = nn.Parameter(torch.zeros(len(SOURCES), len(pitches)))
        filters = semitone_filters(pitches, sample_rate, 8 * hop)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Compute the levels of every STRIDE-th frame."""
        return torch.einsum("btsd,sdp->btsp", vectors[:, ::STRIDE], self.weight) + self.bias

    @torch.no_grad()
    def target(self, stems: Tensor) -> Tensor:
        """Measure the levels of padded stems `[B, sources, 2, (T + 1) * hop]`."""
        size = 8 * self.hop
        frames = long_frames(mid_side(stems)[..., 0, :], self.hop, size, STRIDE)
        window = torch.hann_window(size, device=stems.device)
        spectrum = torch.fft.rfft(frames * window, norm="ortho")[..., : len(self.filters)]
        power = torch.view_as_real(spectrum).square().sum(-1) @ self.filters
        return ((power + 1e-6) ** (COMPRESSION / 2)).transpose(1, 2)


def semitone_filters(pitches: Tensor, sample_rate: int, size: int) -> Tensor:
    """Make triangular filters `[bins, pitches]` that are a semitone wide, and at least a bin.

    Bins above the highest pitch are left out.

    Args:
        pitches: MIDI numbers.
        sample_rate: of the audio.
        size: of the transform.
    """
    hertz = 440 * 2 ** ((pitches.double() - 69) / 12)
    bins = torch.arange(1 + int(hertz.max() * 2 ** (1 / 12) * size / sample_rate))
    frequency = bins[:, None].double() * sample_rate / size
    width = (hertz * (2 ** (1 / 12) - 1)).clamp(min=sample_rate / size)
    return (1 - (frequency - hertz).abs() / width).clamp(min=0).float()


def unexplained_share(levels: Tensor, target: Tensor, spread: Tensor | None = None) -> Tensor:
    """Compute the squared error as a share of the target's variance over frames.

    Args:
        levels: `[B, T, sources, pitches]`.
        target: the same.
        spread: the variance times the number of frames; by default that of the target.
    """
    if spread is None:
        spread = (target - target.mean((0, 1), keepdim=True)).square().sum()
    return (levels - target).square().sum() / spread.clamp(min=1e-6)


def target_sums(target: Tensor) -> dict[str, Tensor]:
    """Sum a target `[B, T, sources, pitches]`, so that the spread of several can be computed."""
    frames = torch.tensor(float(len(target) * target.shape[1]), device=target.device)
    return {
        "pitch": target.sum((0, 1)),
        "squared pitch": target.square().sum(),
        "pitch frames": frames,
    }


def spread_of(sums: Mapping[str, Tensor]) -> Tensor:
    """Return the variance times the number of frames, from what `target_sums` returns."""
    return sums["squared pitch"] - sums["pitch"].square().sum() / sums["pitch frames"]
