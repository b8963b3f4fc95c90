"""The loss of stage 1: waveform and STFT distances on the selection and on its complement, and terms of our own.

From the paper: L1 on the waveform, L1 on the STFT (n_fft 2048, hop 512), each on both selections, no weights.
Ours, off in the paper preset:
- snr: a clamped log-ratio of error to signal per example. L1 alone, from scratch, falls into silence;
- magnitude: L1 on compressed magnitudes. The log-ratio shrinks what it cannot phase; this balances the levels;
- usage: the KL divergence of each codebook's average assignment from uniform, which keeps codebooks alive.
"""

import math

import torch
from torch import Tensor

from stage1_vqvae.config import LossConfig
from stage1_vqvae.encoder import COMPRESSION
from stage1_vqvae.model import Reconstruction
from stage1_vqvae.spectral import analyse, mid_side, pad_to_frames

STFT_SIZE, STFT_HOP = 2048, 512
SNR_FLOOR = 0.001  # an error 30 dB under the signal is good enough
SNR_SILENCE = 3e-4  # mean square, -35 dBFS: a smaller one lets silent targets outweigh all others


def vqvae_loss(
    output: Reconstruction,
    selected: Tensor,
    complement: Tensor,
    presence: Tensor,
    config: LossConfig,
) -> dict[str, Tensor]:
    """The weighted sum under "loss", and every active term by its name.

    Args:
        output: what the model made.
        selected, complement: target audio [B, 2, N].
        presence: [B, sources], which sources the mixture holds.
    """
    estimate = torch.cat((output.selected, output.complement))
    spectrum = torch.cat((output.selected_spectrum, output.complement_spectrum))
    target = torch.cat((selected, complement))
    if not config.complement:
        estimate, spectrum, target = output.selected, output.selected_spectrum, selected
    terms: dict[str, Tensor] = {}
    if config.waveform:
        terms["waveform"] = (estimate - target).abs().mean()
    if config.stft:
        terms["stft"] = stft_distance(estimate, target)
    if config.snr:
        terms["snr"] = negative_snr(estimate, target)
    if config.magnitude:
        terms["magnitude"] = magnitude_distance(spectrum, target)
    if config.usage:
        terms["usage"] = usage_divergence(output.logits, presence)
    total = torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()
    return {"loss": total, **terms}


def stft_distance(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean L1 distance of magnitude spectrograms (n_fft 2048, hop 512) of audio [B, 2, N]."""
    window = torch.hann_window(STFT_SIZE, device=target.device)

    def magnitudes(audio: Tensor) -> Tensor:
        flat = audio.flatten(0, 1)
        spectrum = torch.stft(
            flat, STFT_SIZE, STFT_HOP, window=window, return_complex=True, normalized=True,
            pad_mode="constant",
        )  # fmt: skip
        return (torch.view_as_real(spectrum).square().sum(-1) + 1e-8).sqrt()

    return (magnitudes(estimate) - magnitudes(target)).abs().mean()


def negative_snr(estimate: Tensor, target: Tensor) -> Tensor:
    """log10 of the error-to-signal ratio per example, clamped at -30 dB and for silent targets, averaged."""
    signal = target.square().mean((1, 2))
    error = (estimate - target).square().mean((1, 2))
    ratio = (error + SNR_FLOOR * signal + SNR_SILENCE) / (signal + SNR_SILENCE)
    return torch.log10(ratio).mean()


def magnitude_distance(spectrum: Tensor, target: Tensor) -> Tensor:
    """Mean L1 distance of compressed magnitudes; `spectrum` [B, 2, T, F] is the decoder's own, of mid and side."""
    hop = spectrum.shape[-1] - 1
    reference = analyse(pad_to_frames(mid_side(target), hop), hop)

    def compress(complex_spectrum: Tensor) -> Tensor:
        power = torch.view_as_real(complex_spectrum).square().sum(-1)
        return (power + 1e-6) ** (COMPRESSION / 2)

    return (compress(spectrum) - compress(reference)).abs().mean()


def usage_divergence(logits: Tensor, presence: Tensor) -> Tensor:
    """KL of the average assignment to uniform, in nats, over the codebooks of sources that are present."""
    probabilities = logits.softmax(-1).mean(1)  # [B, S, H, m]
    weights = presence / presence.sum(0).clamp(min=1)
    average = torch.einsum("bshm,bs->shm", probabilities, weights)
    divergence = (average * (average + 1e-9).log()).sum(-1) + math.log(logits.shape[-1])
    return (divergence.mean(-1) * (presence.sum(0) > 0)).mean()
