"""Use decoded sources as a soft mask on the mixture: their magnitudes, the mixture's phases.

A codec's decoded sources are blurred, and their phases are guesses. They do say which share of each
time-frequency bin belongs to which source, and the mixture itself supplies everything else:
mask_s = |D_s| / sum_r |D_r|. The masks of a bin sum to 1, so the estimates sum to the mixture
wherever any source was decoded at all. In bins where nothing was decoded, every estimate is zero.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft
from scipy.signal import get_window

from shared.sound.sliced import SlicedSamples

Audio = npt.NDArray[np.float32]

N_FFT = 4096
HOP = 1024
CONTEXT = N_FFT - HOP  # a sample takes part in frames that reach this far to either side
BLOCK = 64 * HOP
WINDOW = get_window("hann", N_FFT).astype(np.float32)
# Analysis and synthesis multiply by the window twice; overlapping frames then add up to this gain,
# which is the same at every sample.
OVERLAP_GAIN = float(np.square(WINDOW).sum()) / HOP


@dataclass(frozen=True, eq=False)
class EstimateBlock:
    """Estimates `[S, C, n]` of the sources of a song, from the sample `start` on."""

    start: int
    estimates: Audio

    @property
    def stop(self) -> int:
        """The sample after the last one."""
        return self.start + self.estimates.shape[-1]


def mask_song(mixture: Audio, decoded: Iterable[Audio], kept: Sequence[int]) -> Audio:
    """Mask a mixture `[C, N]` by its decoded sources, `[len(kept), C, N]`; see `mask_blocks_of`."""
    none = np.zeros((len(kept), len(mixture), 0), np.float32)
    return np.concatenate([none, *mask_blocks_of(mixture, decoded, kept)], axis=-1)


def mask_blocks_of(
    mixture: SlicedSamples, decoded: Iterable[Audio], kept: Sequence[int]
) -> Iterator[Audio]:
    """Mask a mixture `[C, N]` by its decoded sources, block after block `[len(kept), C, n]`.

    The result does not depend on the level of the decoded sources. Beside its arguments, this needs
    some 100 MB, however long the song is.

    Args:
        mixture: float32 samples.
        decoded: all sources of the mixture, because each of them takes part in the mask; block
            after block `[S, C, n]`.
        kept: the indices of the sources to return.

    Raises:
        ValueError: the blocks together do not have the length of the mixture.
    """
    sources = _Blocks(decoded)

    def read(start: int, stop: int) -> tuple[Audio, Audio]:
        return mixture[:, start:stop], sources.read(start, stop)

    for block in mask_blocks(read, mixture.shape[1]):
        yield block.estimates[list(kept)]
    sources.require_end(mixture.shape[1])


class _Blocks:
    """Reads rising ranges, each of which overlaps the one before or adjoins it, from blocks."""

    def __init__(self, blocks: Iterable[Audio]) -> None:
        self._blocks = iter(blocks)
        self._start = 0
        self._held: Audio | None = None

    def read(self, start: int, stop: int) -> Audio:
        """Return `[S, C, stop - start]`, and forget what is before it."""
        held = None if self._held is None else self._held[..., start - self._start :]
        while held is None or held.shape[-1] < stop - start:
            block = next(self._blocks, None)
            if block is None:
                raise ValueError(f"the decoded sources end before sample {stop} of the mixture")
            held = block if held is None else np.concatenate((held, block), axis=-1)
        self._start, self._held = start, held
        return held[..., : stop - start]

    def require_end(self, stop: int) -> None:
        """Raise ValueError if there is anything from the sample `stop` on."""
        reached = 0 if self._held is None else self._start + self._held.shape[-1]
        if reached > stop or next(self._blocks, None) is not None:
            raise ValueError(f"the decoded sources go on beyond the mixture's {stop} samples")


def mask_blocks(
    read: Callable[[int, int], tuple[Audio, Audio]], num_samples: int
) -> Iterator[EstimateBlock]:
    """Mask a song of any length block by block; the joined blocks equal the whole.

    Args:
        read: takes a range (start, stop) of samples, and returns the mixture `[C, stop - start]`
            and the decoded sources `[S, C, stop - start]` in it. The ranges lie within the song,
            and consecutive ones overlap by `2 * CONTEXT` samples.
        num_samples: the length of the song.
    """
    for start in range(0, num_samples, BLOCK):
        stop = min(start + BLOCK, num_samples)
        first, last = max(0, start - CONTEXT), min(num_samples, stop + CONTEXT)
        mixture, decoded = read(first, last)
        # Frames begin at multiples of HOP in the song, whichever block they are computed for, and
        # the song is surrounded by zeros.
        length = -(-(stop - start) // HOP) * HOP + 2 * CONTEXT
        before = first - (start - CONTEXT)
        padding = (before, length - before - (last - first))

        weights = np.abs(_stft(np.pad(decoded, ((0, 0), (0, 0), padding))))
        total = weights.sum(0)
        masks = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        masked = masks * _stft(np.pad(mixture, ((0, 0), padding)))
        yield EstimateBlock(start, _istft(masked)[..., CONTEXT : CONTEXT + stop - start])


def _stft(audio: Audio) -> npt.NDArray[np.complex64]:
    """Transform `[..., N]` to `[..., frames, bins]`."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, N_FFT, axis=-1)[..., ::HOP, :]
    return rfft(frames * WINDOW)


def _istft(spectra: npt.NDArray[np.complex64]) -> Audio:
    """Invert `_stft` by weighted overlap-add."""
    frames = irfft(spectra, N_FFT) * (WINDOW / np.float32(OVERLAP_GAIN))
    num_frames = frames.shape[-2]
    audio = np.zeros((*frames.shape[:-2], (num_frames - 1) * HOP + N_FFT), np.float32)
    for index in range(num_frames):
        audio[..., index * HOP : index * HOP + N_FFT] += frames[..., index, :]
    return audio
