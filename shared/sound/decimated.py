"""Short frames of a sound at a low sample rate, for what is only looked for in its lows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.sound.sliced import SlicedSamples

Floats = npt.NDArray[np.float64]

FRAMES = 2048  # frames that are read at once

_FILTER_REACH = 10  # samples at the low rate; resample_poly's filter reaches so far to either side


@dataclass(frozen=True, eq=False)
class DecimatedFrames:
    """Frames of the mean of all channels, at a fraction of the sample rate.

    Frame t is centred at sample `t * hop`, and there are zeros around the sound.

    Attributes:
        audio: the sound `[C, N]`.
        factor: by what the sample rate is divided.
        window: samples of a frame, at the low rate.
        hop: samples from frame to frame, at the low rate.
        shortest: the sound counts as at least so many samples long, at the low rate.
    """

    audio: SlicedSamples
    factor: int
    window: int
    hop: int
    shortest: int = 0

    @property
    def count(self) -> int:
        """The number of frames."""
        return 1 + max(self._length, self.shortest) // self.hop

    def read(self, first: int, stop: int) -> Floats:
        """Return the frames from `first` to before `stop` `[stop - first, window]`."""
        start = first * self.hop - self.window // 2
        samples = self._samples(start, start + (stop - 1 - first) * self.hop + self.window)
        return np.lib.stride_tricks.sliding_window_view(samples, self.window)[:: self.hop]

    def blocks(self) -> Iterator[Floats]:
        """Return all frames, block after block."""
        for first in range(0, self.count, FRAMES):
            yield self.read(first, min(first + FRAMES, self.count))

    @property
    def _length(self) -> int:
        """The number of samples at the low rate."""
        return -(-self.audio.shape[-1] // self.factor)

    def _samples(self, start: int, stop: int) -> Floats:
        """Return samples at the low rate `[stop - start]`."""
        from scipy.signal import resample_poly

        low, high = max(0, start), min(self._length, stop)
        if high <= low:
            return np.zeros(stop - start)
        # The parts of two blocks lie on the same grid, and each output of the filter is a sum of
        # its own: blocks equal the whole.
        before = max(0, low - _FILTER_REACH - 1)
        around = slice(before * self.factor, (high + _FILTER_REACH + 1) * self.factor)
        mono = self.audio[:, around].mean(0, dtype=np.float64)
        decimated = resample_poly(mono, 1, self.factor)[low - before : high - before]
        return np.pad(decimated, (low - start, stop - high))
