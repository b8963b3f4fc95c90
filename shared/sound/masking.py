"""Decoded sources as a soft mask on the input: their magnitudes, its phase.

A codec's decoded sources are blurred and phased by guess. Where they say which share of each
time-frequency bin is whose, the input itself supplies the rest: mask_s = |D_s| / sum_r |D_r|. The
masks sum to one, so the estimates sum to the input wherever any source was decoded at all; what is
left goes into the residual.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft
from scipy.signal import get_window

Audio = npt.NDArray[np.float32]

N_FFT = 4096
HOP = 1024
CONTEXT = N_FFT - HOP  # a sample takes part in frames that reach this far to either side
BLOCK = 64 * HOP
WINDOW = get_window("hann", N_FFT).astype(np.float32)
OVERLAP_GAIN = (
    float(np.square(WINDOW).sum()) / HOP
)  # of analysis and synthesis, the same everywhere


@dataclass(frozen=True, eq=False)
class Separation:
    """estimates `[S, C, N]` and residual `[C, N]`, which sum to the input. start: first sample."""

    estimates: Audio
    residual: Audio
    start: int = 0


def mask_song(mixture: Audio, decoded: Audio) -> Separation:
    """Mask `mixture` `[C, N]` by its decoded sources `[S, C, N]`, at the same level and rate.

    Beyond its result this needs some 100 MB, however long the song.

    Raises:
        ValueError: the shapes do not fit.
    """
    if decoded.ndim != 3 or decoded.shape[1:] != mixture.shape:
        raise ValueError(f"decoded {decoded.shape} does not fit the mixture {mixture.shape}")
    estimates = np.empty(decoded.shape, np.float32)
    residual = np.empty(mixture.shape, np.float32)

    def read(start: int, stop: int) -> tuple[Audio, Audio]:
        return mixture[:, start:stop], decoded[:, :, start:stop]

    for block in mask_blocks(read, mixture.shape[1]):
        end = block.start + block.residual.shape[1]
        estimates[:, :, block.start : end] = block.estimates
        residual[:, block.start : end] = block.residual
    return Separation(estimates, residual)


def mask_blocks(
    read: Callable[[int, int], tuple[Audio, Audio]], num_samples: int
) -> Iterator[Separation]:
    """Mask a song of any length block by block; the blocks joined equal the whole.

    read: (start, stop) -> mixture `[C, stop - start]` and decoded sources `[S, C, stop - start]`.
        The ranges lie within the song and overlap by `2 * CONTEXT`.
    """
    for start in range(0, num_samples, BLOCK):
        stop = min(start + BLOCK, num_samples)
        first, last = max(0, start - CONTEXT), min(num_samples, stop + CONTEXT)
        mixture, decoded = read(first, last)
        # Frames stand at multiples of HOP in the song, whatever the block; zeros lie around it.
        length = -(-(stop - start) // HOP) * HOP + 2 * CONTEXT
        before = first - (start - CONTEXT)
        padding = (before, length - before - (last - first))

        spectra = _stft(np.pad(decoded, ((0, 0), (0, 0), padding)))
        weights = np.abs(spectra)
        total = weights.sum(0)
        masks = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        masked = masks * _stft(np.pad(mixture, ((0, 0), padding)))
        estimates = _istft(masked)[..., CONTEXT : CONTEXT + stop - start]
        original = mixture[:, start - first : stop - first]
        yield Separation(estimates, original - estimates.sum(0), start)


def _stft(audio: Audio) -> npt.NDArray[np.complex64]:
    """`[..., N]` -> `[..., frames, bins]`."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, N_FFT, axis=-1)[..., ::HOP, :]
    return rfft(frames * WINDOW)


def _istft(spectra: npt.NDArray[np.complex64]) -> Audio:
    """Inverse of `_stft` by weighted overlap-add."""
    frames = irfft(spectra, N_FFT) * (WINDOW / np.float32(OVERLAP_GAIN))
    num_frames = frames.shape[-2]
    audio = np.zeros((*frames.shape[:-2], (num_frames - 1) * HOP + N_FFT), np.float32)
    for index in range(num_frames):
        audio[..., index * HOP : index * HOP + N_FFT] += frames[..., index, :]
    return audio
