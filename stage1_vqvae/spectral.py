"""Frames of audio: a perfect-reconstruction short-time Fourier transform with half-overlapping windows.

Window n_fft = 2 * hop, square-root Hann for analysis and synthesis, so that overlap-add alone inverts it.
Frame t covers samples [(t - 1) * hop, (t + 1) * hop) of the signal, zeros outside it: every frame depends on
two blocks only, which is what makes chunked coding equal to whole coding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def num_frames(num_samples: int, hop: int) -> int:
    """Frames of a signal of `num_samples` samples."""
    return -(-num_samples // hop) + 1


def pad_to_frames(audio: Tensor, hop: int) -> Tensor:
    """Zeros around audio [..., N] so that its frames cover every sample twice: [..., (num_frames + 1) * hop]."""
    return F.pad(audio, (hop, (-audio.shape[-1]) % hop + hop))


def analyse(padded: Tensor, hop: int) -> Tensor:
    """Padded audio [..., (T + 1) * hop] to a complex spectrogram [..., T, hop + 1]."""
    frames = padded.unfold(-1, 2 * hop, hop)
    return torch.fft.rfft(frames * _window(hop, padded.device), norm="ortho")


def synthesise(spectrum: Tensor, hop: int, num_samples: int) -> Tensor:
    """Complex spectrogram [..., T, hop + 1] to audio [..., num_samples], without the padding."""
    frames = torch.fft.irfft(spectrum, n=2 * hop, norm="ortho") * _window(hop, spectrum.device)
    blocks = frames[..., 1:, :hop] + frames[..., :-1, hop:]
    return blocks.flatten(-2)[..., :num_samples]


def _window(hop: int, device: torch.device) -> Tensor:
    return torch.hann_window(2 * hop, device=device).sqrt()


def mid_side(stereo: Tensor) -> Tensor:
    """Left and right [..., 2, N] to mid and side, or back: the orthonormal rotation is its own inverse."""
    left, right = stereo.unbind(-2)
    return torch.stack((left + right, left - right), dim=-2) * 0.5**0.5
