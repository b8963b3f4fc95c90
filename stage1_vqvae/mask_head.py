"""The mask head: the encoder's hidden state says which share of each bin belongs to each source.

The masks are real, sum to 1 over the sources, and apply to the mixture's own spectrum with windows
of 4 * hop samples. Nothing passes the quantiser, so that the estimates are not limited by the size
of the codes. The head shares the encoder, which learns from it what belongs to whom.
"""

import torch
from torch import Tensor, nn

from shared.sources import SOURCES
from stage1_vqvae.convnext import ConvNeXtBlock, StackSizes
from stage1_vqvae.log_ratio import log_ratio
from stage1_vqvae.spectral import long_frames, mid_side

# Every bin below FINE_HZ has a mask of its own. Above it, the bins of a band share one.
FINE_HZ = 4000
BANDS = 112


class MaskHead(nn.Module):
    """Turns the encoder's hidden state `[B, T, width]` into masks, and applies them."""

    reach: int  # frames to either side that a mask depends on beside the hidden state's own
    band: Tensor  # [bins]: the index of each bin's mask
    members: Tensor  # [bins from FINE_HZ on, bands from FINE_HZ on]: which bin is in which band

    def __init__(self, sizes: StackSizes, sample_rate: int, hop: int) -> None:
        """Make a head that gives every source about the same share before training.

        Args:
            sizes: the width of the hidden state, and the blocks that read it before the masks.
            sample_rate: of the audio.
            hop: samples per frame.
        """
        super().__init__()
        self.hop = hop
        bins = 2 * hop + 1
        self.fine = min(bins - 1, round(FINE_HZ * 4 * hop / sample_rate))
        ratios = torch.linspace(0, 1, BANDS + 1, dtype=torch.float64)[:-1]
        edges = (self.fine * (bins / self.fine) ** ratios).round().long().unique()
        band = torch.cat(
            (
                torch.arange(self.fine),
                self.fine - 1 + torch.bucketize(torch.arange(self.fine, bins), edges, right=True),
            )
        )
        self.bands = self.fine + len(edges)
        self.register_buffer("band", band, persistent=False)
        members = torch.nn.functional.one_hot(band[self.fine :] - self.fine, len(edges)).float()
        self.register_buffer("members", members, persistent=False)
        self.reach = sizes.reach
        self.blocks = nn.Sequential(*(ConvNeXtBlock(sizes) for _ in range(sizes.blocks)))
        self.readout = nn.Linear(sizes.width, len(SOURCES) * 2 * self.bands)
        nn.init.normal_(self.readout.weight, std=0.1 / sizes.width**0.5)
        nn.init.zeros_(self.readout.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute masks of mid and side `[B, sources, 2, T, bands]`."""
        shape = (len(SOURCES), 2, self.bands)
        logits = self.readout(self.blocks(hidden)).float().unflatten(-1, shape)
        return logits.softmax(-3).permute(0, 2, 3, 1, 4)

    def spectrum(self, padded: Tensor, stride: int = 1) -> Tensor:
        """Transform padded audio `[..., 2, (T + 1) * hop]` to mid and side `[..., 2, T, bins]`.

        Only every `stride`-th frame is computed.
        """
        frames = long_frames(mid_side(padded), self.hop, 4 * self.hop, stride)
        return torch.fft.rfft(frames * self.window(padded.device), norm="ortho")

    def apply_masks(self, masks: Tensor, mixture: Tensor) -> Tensor:
        """Mask the frames of a mixture.

        Args:
            masks: `[B, sources, 2, T, bands]`.
            mixture: its spectrum `[B, 2, T, bins]`.

        Returns:
            Windowed frames of left and right `[B, sources, 2, T, 4 * hop]`. The estimate is their
            sum, each frame `hop` samples after the one before it, divided by the sum of the squared
            windows.
        """
        spectra = masks[..., self.band] * mixture[:, None]
        frames = torch.fft.irfft(spectra, n=4 * self.hop, norm="ortho")
        windowed = frames * self.window(masks.device)
        return mid_side(windowed.transpose(2, 3)).transpose(2, 3)

    def band_sums(self, values: Tensor) -> Tensor:
        """Sum values `[..., bins]` over the bins of each band, `[..., bands]`."""
        grouped = values[..., self.fine :] @ self.members
        return torch.cat((values[..., : self.fine], grouped), dim=-1)

    def window(self, device: torch.device | str) -> Tensor:
        """Return the Hann window `[4 * hop]` of analysis and synthesis."""
        return torch.hann_window(4 * self.hop, device=device)


def mask_loss(head: MaskHead, masks: Tensor, stems: Tensor) -> Tensor:
    """Compute the mean error of masked mixtures, as the log10 of error over signal.

    It is bounded as `log_ratio` says. Every other frame counts, because neighbouring frames have
    three quarters of their samples in common.

    Args:
        head: what made the masks.
        masks: `[B, sources, 2, T, bands]`, of the mixture of the stems.
        stems: padded audio `[B, sources, 2, (T + 1) * hop]`.
    """
    with torch.no_grad():
        parts = torch.view_as_real(head.spectrum(stems, stride=2))
        whole = parts.sum(1, keepdim=True)
        power = head.band_sums(whole.square().sum(-1))
        common = head.band_sums((whole * parts).sum(-1))
        signal = parts.square().sum((2, 3, 4, 5))
    masks = masks[..., ::2, :]
    error = (masks * (masks * power - 2 * common)).sum((2, 3, 4)) + signal
    # A window has a mean square of 3/8. Two channels were summed, but half of each spectrum.
    samples = masks.shape[-2] * 4 * head.hop * 0.375
    return log_ratio(error / samples, signal / samples)
