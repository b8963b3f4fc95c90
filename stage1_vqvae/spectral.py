"""Frames of audio: a short-time Fourier transform with half-overlapping windows, and its inverse.

The window of n_fft = 2 * hop samples is a square-root Hann window for analysis and for synthesis,
so that overlap-add alone inverts the transform. Frame t covers the samples
[(t - 1) * hop, (t + 1) * hop) of the signal, which is surrounded by zeros. Because every frame
depends on two blocks of `hop` samples only, chunked coding can equal whole coding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def num_frames(num_samples: int, hop: int) -> int:
    """Count the frames of a signal of `num_samples` samples."""
    return -(-num_samples // hop) + 1


def pad_to_frames(audio: Tensor, hop: int) -> Tensor:
    """Put zeros around audio `[..., N]`, so that its frames cover every sample twice.

    Returns:
        Audio `[..., (num_frames + 1) * hop]`.
    """
    return F.pad(audio, (hop, (-audio.shape[-1]) % hop + hop))


def analyse(padded: Tensor, hop: int) -> Tensor:
    """Transform padded audio `[..., (T + 1) * hop]` to a complex spectrum `[..., T, hop + 1]`."""
    frames = padded.unfold(-1, 2 * hop, hop)
    return torch.fft.rfft(frames * _window(hop, padded.device), norm="ortho")


def long_frames(padded: Tensor, hop: int, size: int, stride: int = 1) -> Tensor:
    """Cut padded audio `[..., (T + 1) * hop]` into frames of `size` samples, `[..., T, size]`.

    They have the same centres as the frames of `analyse`. Only every `stride`-th one is returned.
    """
    beyond = size // 2 - hop
    return F.pad(padded, (beyond, beyond)).unfold(-1, size, stride * hop)


def synthesise(spectrum: Tensor, hop: int, num_samples: int) -> Tensor:
    """Invert `analyse`: a spectrum `[..., T, hop + 1]` to audio `[..., num_samples]`.

    The padding is left out.
    """
    frames = torch.fft.irfft(spectrum, n=2 * hop, norm="ortho") * _window(hop, spectrum.device)
    blocks = frames[..., 1:, :hop] + frames[..., :-1, hop:]
    return blocks.flatten(-2)[..., :num_samples]


def _window(hop: int, device: torch.device) -> Tensor:
    return torch.hann_window(2 * hop, device=device).sqrt()


def mid_side(stereo: Tensor) -> Tensor:
    """Turn left and right `[..., 2, N]` into mid and side, or back.

    The rotation is orthonormal and is its own inverse.
    """
    left, right = stereo.unbind(-2)
    return torch.stack((left + right, left - right), dim=-2) * 0.5**0.5
