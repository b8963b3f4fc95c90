"""Channels as a codec expects them: both alive, in phase with each other, and without an offset.

Songs are found with one dead channel, with one channel inverted (left = -right), and with a DC
offset. A codec has met none of these in training. Such a song is brought to the usual form, and
what is estimated from it is brought back.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.sound.samples import Samples, rms
from shared.sound.sliced import Derived, SlicedSamples, blocks_of

DEAD = 1e-3  # a channel 60 dB below the other one is dead
INVERTED = 0.2  # mid this much softer than side means that one channel is inverted
OFFSET = 0.05  # a smaller mean, as a share of the RMS, is part of the music


@dataclass(frozen=True, eq=False)
class Channels:
    """Stereo audio in its usual form, and how it was before.

    Attributes:
        usual: the audio `[2, N]` in its usual form.
        factors: what each channel of an estimate `[..., 2, N]` is multiplied by to fit the song:
            1, -1 for an inverted channel, and 0 for a dead one.
    """

    usual: SlicedSamples
    factors: tuple[float, float]

    @classmethod
    def of(cls, stereo: SlicedSamples) -> "Channels":
        """Bring stereo audio `[2, N]` to its usual form.

        An array gives an array. Other samples are read several times, block after block.
        """
        if isinstance(stereo, np.ndarray):
            mean = stereo.mean(axis=-1, keepdims=True)
        else:
            mean = _mean(stereo)
        usual = stereo
        if np.abs(mean).max() > OFFSET * rms(stereo):
            usual = _changed(lambda samples: samples - mean, stereo)
        levels = [rms(_channel(usual, index)) for index in range(2)]
        louder = int(levels[1] > levels[0])
        if levels[1 - louder] <= DEAD * levels[louder]:
            factors = (1.0, 0.0) if louder == 0 else (0.0, 1.0)
            return cls(_changed(lambda both: np.stack([both[louder]] * 2), usual), factors)
        mid = _changed(lambda both: both[:1] + both[1:], usual, channels=1)
        side = _changed(lambda both: both[:1] - both[1:], usual, channels=1)
        if rms(mid) < INVERTED * rms(side):
            signs = np.array([[1], [-1]], np.float32)
            return cls(_changed(lambda both: both * signs, usual), (1.0, -1.0))
        return cls(usual, (1.0, 1.0))

    def restore(self, estimates: Samples) -> Samples:
        """Bring estimates `[..., 2, N]` of parts of `usual` back to the form of the original."""
        return estimates * np.array(self.factors, np.float32)[:, None]


def _changed(
    change: Callable[[Samples], Samples], samples: SlicedSamples, channels: int = 2
) -> SlicedSamples:
    """Change an array at once, and other samples when they are read."""
    if isinstance(samples, np.ndarray):
        return change(samples)
    return Derived(change, samples, channels=channels)


def _channel(samples: SlicedSamples, index: int) -> SlicedSamples:
    return _changed(lambda both: both[index : index + 1], samples, channels=1)


def _mean(samples: SlicedSamples) -> npt.NDArray[np.float32]:
    """Return the mean of each channel `[C, 1]`."""
    total = sum(block.sum(1, keepdims=True, dtype=np.float64) for block in blocks_of(samples))
    return np.asarray(total / samples.shape[1], np.float32)
