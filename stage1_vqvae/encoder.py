"""The encoder: a stereo mixture becomes the numbers that the quantiser turns into logits."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from shared.sources import BASS
from stage1_vqvae.convnext import ConvNeXtBlock, ConvNeXtStack, StackSizes
from stage1_vqvae.spectral import analyse, long_frames, mid_side

COMPRESSION = 0.4  # exponent of magnitudes: quiet partials remain visible beside loud ones
PHASE_HZ = 3450  # the encoder reads phases below this; codes could not hold those above it
BANDS = 24  # how many bands the spectrum above PHASE_HZ is divided into
LONG_WINDOW = 8  # length in hops of the window that resolves low notes
LONG_HZ = 2000  # it is read below this frequency


class Features(nn.Module):
    """Turns padded audio `[B, 2, (T + 1) * hop]` into what the encoder reads, `[B, T, size]`.

    These are, for mid and side: below PHASE_HZ the real and imaginary parts of the compressed
    spectrum, and above it the compressed levels of bands of equal ratio. With `long_window`, the
    compressed magnitudes of mid below LONG_HZ follow, in windows of LONG_WINDOW hops.
    """

    averages: Tensor  # [bins above PHASE_HZ, bands]

    def __init__(self, sample_rate: int, hop: int, long_window: bool = False) -> None:
        """Divide the bins of a spectrum with `hop + 1` bins into phased ones and bands."""
        super().__init__()
        bins = hop + 1
        self.hop, self.low = hop, round(PHASE_HZ * 2 * hop / sample_rate)
        ratios = torch.linspace(0, 1, BANDS + 1, dtype=torch.float64)
        edges = (self.low * (bins / self.low) ** ratios).round().long().unique() - self.low
        above = torch.arange(bins - self.low)[:, None]
        members = ((above >= edges[:-1]) & (above < edges[1:])).float()
        self.register_buffer("averages", members / members.sum(0), persistent=False)
        self.long_bins = round(LONG_HZ * LONG_WINDOW * hop / sample_rate) if long_window else 0
        self.size = 4 * self.low + 2 * members.shape[1] + self.long_bins

    @property
    def reach(self) -> int:
        """How many frames beyond a frame's own samples are read to either side."""
        return LONG_WINDOW // 2 - 1 if self.long_bins else 0

    def forward(self, padded: Tensor) -> Tensor:
        """Compute the features `[B, T, size]`; those of the phased bins come first."""
        rotated = mid_side(padded)
        spectrum = analyse(rotated, self.hop)
        phased, rest = spectrum[..., : self.low], spectrum[..., self.low :]
        compressed = phased * (phased.abs() + 1e-6) ** (COMPRESSION - 1)
        levels = (rest.abs().square() @ self.averages + 1e-8) ** (COMPRESSION / 2)
        by_frame = (torch.view_as_real(compressed).flatten(-2), levels)
        features = [part.transpose(1, 2).flatten(2) for part in by_frame]
        if self.long_bins:
            features.append(self._long_magnitudes(rotated[:, 0]))
        return torch.cat(features, dim=-1)

    def _long_magnitudes(self, mid: Tensor) -> Tensor:
        size = LONG_WINDOW * self.hop
        frames = long_frames(mid, self.hop, size) * torch.hann_window(size, device=mid.device)
        spectrum = torch.fft.rfft(frames, norm="ortho")[..., : self.long_bins]
        power = torch.view_as_real(spectrum).square().sum(-1)
        return (power + 1e-8) ** (COMPRESSION / 2)


class Encoder(nn.Module):
    """Turns padded audio `[B, 2, (T + 1) * hop]` into numbers for every codebook of each source."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        std: float,
        sample_rate: int,
        hop: int,
        sizes: StackSizes,
        long_window: bool = False,
        bass_blocks: int = 0,
    ) -> None:
        """Make an encoder with random weights.

        Args:
            shape: the output's shape in a frame: sources, codebooks, numbers per codebook.
            std: the output's standard deviation.
            sample_rate: of the audio.
            hop: samples per frame.
            sizes: of the ConvNeXt stack.
            long_window: whether a longer window is read too (see `Features`).
            bass_blocks: blocks that only the bass is read from; 0 to read it as the other sources.
        """
        super().__init__()
        self.shape = shape
        self.features = Features(sample_rate, hop, long_window)
        self.hidden_reach = self.features.reach + sizes.reach
        self.project = nn.Linear(self.features.size, sizes.width)
        self.norm = nn.LayerNorm(sizes.width)
        self.stack = ConvNeXtStack(sizes)
        self.readout = nn.Linear(sizes.width, math.prod(shape))
        nn.init.normal_(self.readout.weight, std=std / sizes.width**0.5)
        nn.init.zeros_(self.readout.bias)
        of_bass = replace(sizes, blocks=bass_blocks)
        self.bass = BassReadout(of_bass, shape[1:]) if bass_blocks else None
        self.reach = self.hidden_reach + of_bass.reach

    def forward(self, padded: Tensor) -> Tensor:
        """Compute `[B, T, *shape]`."""
        return self.read(self.hidden(padded))

    def hidden(self, padded: Tensor) -> Tensor:
        """Compute the hidden state `[B, T, width]`, from which all outputs are read."""
        return self.stack(self.norm(self.project(self.features(padded))))

    def read(self, hidden: Tensor) -> Tensor:
        """Read `[B, T, *shape]` from the hidden state."""
        read = self.readout(hidden).unflatten(-1, self.shape)
        if self.bass is None:
            return read
        before, after = read[..., :BASS, :, :], read[..., BASS + 1 :, :, :]
        return torch.cat((before, self.bass(hidden)[..., None, :, :], after), -3)


class BassReadout(nn.Module):
    """Reads what belongs to the bass by blocks of its own.

    The codes of the bass can then be learned anew while all other codes stay as they are.
    """

    def __init__(self, sizes: StackSizes, shape: tuple[int, int]) -> None:
        """Make a readout with random weights.

        Args:
            sizes: of its blocks.
            shape: of the output in a frame: codebooks, numbers per codebook.
        """
        super().__init__()
        self.shape = shape
        self.blocks = nn.Sequential(*(ConvNeXtBlock(sizes) for _ in range(sizes.blocks)))
        self.readout = nn.Linear(sizes.width, math.prod(shape))

    def forward(self, hidden: Tensor) -> Tensor:
        """Read `[B, T, *shape]` from the hidden state `[B, T, width]`."""
        return self.readout(self.blocks(hidden)).unflatten(-1, self.shape)

    @torch.no_grad()
    def start_from(self, readout: nn.Linear) -> None:
        """Read what the rows of the bass in the readout of all sources read."""
        rows = slice(BASS * math.prod(self.shape), (BASS + 1) * math.prod(self.shape))
        self.readout.weight.copy_(readout.weight[rows])
        self.readout.bias.copy_(readout.bias[rows])
        for block in self.blocks:
            assert isinstance(block, ConvNeXtBlock)
            torch.nn.init.zeros_(block.scale)
