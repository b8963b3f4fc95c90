"""The loss of the bass decoder: magnitudes of the sound in several resolutions, notes and pitch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stage1_vqvae.log_ratio import log_ratio
from stage1_vqvae.spectral import analyse

# Samples. Shorter windows would show each period of a low note by itself. Its shape depends on the
# phases of the partials, which the codes do not hold. The network would imitate it by amplitudes
# that change within the period, and these fill the gaps between the partials.
WINDOWS = (4096, 2048, 1024)
FLOOR = 2e-5  # amplitude, -94 dB re full scale; what is softer hardly counts
# Bins count less the higher they are, from about this frequency on: bands that are equally wide in
# octaves then count about equally, as they do for the ear.
KNEE_HZ = 150.0
LOW_WINDOWS, LOW_KNEE_HZ = (8192, 4096, 2048), 100.0  # the same for the lows alone


def spectral_terms(
    estimate: Tensor, target: Tensor, sample_rate: int, windows: Sequence[int] = WINDOWS
) -> dict[str, Tensor]:
    """Compare the magnitudes of two sounds `[B, N]` in several resolutions.

    Args:
        estimate: the sound that gradients flow into.
        target: what it should be.
        sample_rate: of both, in Hz.
        windows: the lengths of the windows, in samples.

    Returns:
        "magnitude": the mean error of the logarithm of the magnitudes, in nats; "convergence": the
        error of the magnitudes as a share of the target's, from 0 (equal) up.
    """
    log_error, share = [], []
    for size in windows:
        weight = _bin_weights(size, sample_rate, target.device)
        made, goal = _power(estimate, size), _power(target, size)
        log_error.append(((made / goal).log().abs().mean((0, 1)) * weight).sum() / 2)
        error = (made.sqrt() - goal.sqrt()).square().sum((1, 2))
        share.append((error / goal.sum((1, 2))).clamp(min=1e-12).sqrt().mean())
    return {"magnitude": torch.stack(log_error).mean(), "convergence": torch.stack(share).mean()}


def low_terms(
    spectrum: Tensor, sound: Tensor, target: Tensor, sample_rate: int
) -> dict[str, Tensor]:
    """Compare the lows with those of the target.

    Args:
        spectrum: the complex spectrum of the lowest bins `[B, T, bins]` (see `Lows`).
        sound: what it sounds like, `[B, (T - 1) * hop]`.
        target: what it should sound like, with its highs, of the same shape.
        sample_rate: of both, in Hz.

    Returns:
        "low_waveform": the log10 of the error over the signal, bounded as `log_ratio` says;
        "low_magnitude": the mean error of the logarithm of the magnitudes, in nats.
    """
    bins, hop = spectrum.shape[-1], target.shape[-1] // (spectrum.shape[-2] - 1)
    goal = analyse(torch.nn.functional.pad(target, (hop, hop)), hop)[..., :bins]
    # Half of the first and of the last frame lies outside the target.
    signal, error = (_mean_square(x[:, 1:-1], hop) for x in (goal, spectrum - goal))
    log_error = []
    for size in LOW_WINDOWS:
        # The highest bins of the lows fade out, because windows of other sizes reach beyond them.
        count = int(0.9 * bins * size / (2 * hop))
        made, wanted = (_power(x, size)[..., :count] for x in (sound, target))
        weight = _bin_weights(size, sample_rate, target.device, LOW_KNEE_HZ)[:count]
        distance = (made / wanted).log().abs().mean((0, 1))
        log_error.append((distance * weight).sum() / weight.sum() / 2)
    return {
        "low_waveform": log_ratio(error, signal),
        "low_magnitude": torch.stack(log_error).mean(),
    }


def note_weight(tokens: Tensor, confidence: Tensor) -> Tensor:
    """Return how much the note of each frame counts: its confidence where it is known."""
    return confidence * (tokens >= 0)


def note_loss(
    logits: Tensor, tokens: Tensor, confidence: Tensor, whole: Tensor | None = None
) -> Tensor:
    """Compute the cross-entropy of the note head in nats, weighted by how sure the notes are.

    Args:
        logits: `[B, T, tokens]`.
        tokens: `[B, T]`; negative where they are not known.
        confidence: from 0 to 1, `[B, T]`.
        whole: what the sum is divided by; by default the sum of the weights.
    """
    weight = note_weight(tokens, confidence)
    entropy = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), tokens.clamp(min=0), reduction="none"
    )
    whole = weight.sum() if whole is None else whole
    return (entropy * weight).sum() / whole.clamp(min=1)


def deviation_loss(
    deviation: Tensor, target: Tensor, known: Tensor, whole: Tensor | None = None
) -> Tensor:
    """Compute the mean error of the pitch in semitones where the target is known, all `[B, T]`.

    `whole` is what the sum is divided by; by default it is the number of frames that are known.
    """
    whole = known.sum() if whole is None else whole
    return ((deviation - target).abs() * known).sum() / whole.clamp(min=1)


def _power(audio: Tensor, size: int) -> Tensor:
    """Transform `[B, N]` to power `[B, frames, bins]` above the floor.

    A sine of amplitude 1 has a peak of 1.
    """
    window = torch.hann_window(size, device=audio.device)
    padded = torch.nn.functional.pad(audio, (size // 2, size // 2))
    frames = padded.unfold(-1, size, size // 4) * (window * (2 / window.sum()))
    return _Power.apply(torch.fft.rfft(frames)) + FLOOR**2


class _Power(torch.autograd.Function):
    """The squared magnitude of complex numbers; torch's own gradient of it takes twice as long."""

    @staticmethod
    def forward(context: Any, spectrum: Tensor) -> Tensor:
        context.save_for_backward(spectrum)
        return spectrum.real.square() + spectrum.imag.square()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (spectrum,) = context.saved_tensors
        return spectrum * (2 * gradient)


def _mean_square(spectrum: Tensor, hop: int) -> Tensor:
    """Compute the mean square `[B]` of the sound whose bins below the Nyquist frequency are given.

    The squares of a window add up to `hop`, and half of a spectrum is left out.
    """
    power = torch.view_as_real(spectrum).square().sum((-1, -2))
    return 2 * power.mean(-1) / hop


def _bin_weights(
    size: int, sample_rate: int, device: torch.device, knee: float = KNEE_HZ
) -> Tensor:
    frequency = torch.linspace(0, sample_rate / 2, size // 2 + 1, device=device)
    weight = 1 / (1 + frequency / knee)
    return weight / weight.sum()
