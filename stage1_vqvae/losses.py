"""The loss of stage 1: distances of the selection and of its complement from their targets.

The paper has two terms, each on both selections and without weights: L1 on the waveform, and L1 on
the STFT (n_fft 2048, hop 512). This project adds six, which the paper preset leaves off:
- snr: a clamped log-ratio of error to signal per example. With L1 alone, a network that is trained
  from scratch decodes silence.
- magnitude: L1 on compressed magnitudes. The log-ratio makes parts with uncertain phase too soft,
  and this term brings them back to their level.
- usage: the KL divergence of each codebook's average assignment from uniform, which keeps all
  entries in use.
- mask: the log-ratio of the mixture that the mask head has masked (mask_head.py).
- pitch: what the pitch head does not explain of the semitone levels (pitch_head.py).
- level: how far the levels that the level head reads are from the true ones (level_head.py).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from shared.processes import mean_over_processes
from stage1_vqvae.config import LossConfig
from stage1_vqvae.encoder import COMPRESSION
from stage1_vqvae.log_ratio import log_ratio
from stage1_vqvae.model import Decoded, Reconstruction
from stage1_vqvae.spectral import analyse, mid_side, pad_to_frames

STFT_SIZE, STFT_HOP = 2048, 512


def vqvae_loss(
    output: Reconstruction,
    selected: Tensor,
    complement: Tensor,
    presence: Tensor,
    config: LossConfig,
    heads: Mapping[str, Tensor] | None = None,
    present: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute the loss of a batch.

    Args:
        output: the model's output. Where nothing is decoded, no term compares sound.
        selected: target audio `[B, 2, N]` of the selection.
        complement: target audio `[B, 2, N]` of its complement.
        presence: zeros and ones `[B, sources]`: which sources the mixture holds, the paper's C.
        config: the weights of the terms.
        heads: the terms "mask", "pitch" and "level", unweighted, where the model has their heads.
        present: in how many examples each source is present `[sources]`, as the mean over all
            shares of a batch; by default, this is the whole batch.

    Returns:
        The weighted sum under "loss", and every active term, unweighted, by its name.
    """
    terms: dict[str, Tensor] = {}
    if output.decoded is not None:
        terms |= _sound_terms(output.decoded, selected, complement, config)
    if config.usage:
        terms["usage"] = usage_divergence(output.logits, presence, present)
    terms |= heads or {}
    total = torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()
    return {"loss": total, **terms}


def _sound_terms(
    decoded: Decoded, selected: Tensor, complement: Tensor, config: LossConfig
) -> dict[str, Tensor]:
    """Compute the active terms that compare what is decoded with its targets."""
    estimate = torch.cat((decoded.selected, decoded.complement))
    spectrum = torch.cat((decoded.selected_spectrum, decoded.complement_spectrum))
    target = torch.cat((selected, complement))
    if not config.complement:
        estimate, spectrum, target = decoded.selected, decoded.selected_spectrum, selected
    terms: dict[str, Tensor] = {}
    if config.waveform:
        terms["waveform"] = (estimate - target).abs().mean()
    if config.stft:
        terms["stft"] = stft_distance(estimate, target)
    if config.snr:
        terms["snr"] = negative_snr(estimate, target)
    if config.magnitude:
        terms["magnitude"] = magnitude_distance(spectrum, target)
    return terms


def stft_distance(estimate: Tensor, target: Tensor) -> Tensor:
    """Compute the mean L1 distance of magnitude spectrograms of audio `[B, 2, N]`.

    The STFT has n_fft 2048, hop 512 and a Hann window, and is divided by the root of n_fft.
    """
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
    """Average the log10 of the error-to-signal ratio of each example of audio `[B, 2, N]`.

    It is bounded as `log_ratio` says.
    """
    return log_ratio((estimate - target).square().mean((1, 2)), target.square().mean((1, 2)))


def magnitude_distance(spectrum: Tensor, target: Tensor) -> Tensor:
    """Compute the mean L1 distance of compressed magnitudes.

    Args:
        spectrum: the decoder's spectrum of mid and side `[B, 2, T, hop + 1]`.
        target: audio `[B, 2, N]`.
    """
    hop = spectrum.shape[-1] - 1
    reference = analyse(pad_to_frames(mid_side(target), hop), hop)

    def compress(complex_spectrum: Tensor) -> Tensor:
        power = torch.view_as_real(complex_spectrum).square().sum(-1)
        return (power + 1e-6) ** (COMPRESSION / 2)

    return (compress(spectrum) - compress(reference)).abs().mean()


def usage_divergence(logits: Tensor, presence: Tensor, present: Tensor | None = None) -> Tensor:
    """Compute the KL divergence, in nats, of the average assignment from the uniform one.

    The average is over the examples of all processes.

    Args:
        logits: `[B, T, sources, codebooks, m]`.
        presence: `[B, sources]`; an example counts only for the sources it holds.
        present: see `vqvae_loss`.
    """
    present = presence.sum(0) if present is None else present.to(presence)
    probabilities = logits.softmax(-1).mean(1)  # [B, S, H, m]
    weights = presence / present.clamp(min=1e-6)
    own = torch.einsum("bshm,bs->shm", probabilities, weights)
    average = own + (mean_over_processes(own) - own.detach())
    divergence = (average * (average + 1e-9).log()).sum(-1) + math.log(logits.shape[-1])
    return (divergence.mean(-1) * (present > 0)).mean()
