"""Channels as a codec expects them: both alive, in phase with each other, and without an offset.

Songs are found with one dead channel, with one channel inverted (left = -right), and with a DC
offset. A codec has met none of these in training. Such a song is brought to the usual form, and
what is estimated from it is brought back.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.sound.samples import Samples
from shared.sound.sliced import Derived, SlicedSamples, blocks_of

DEAD = 1e-3  # a channel 60 dB below the other one is dead
INVERTED = 0.2  # mid this much softer than side means that one channel is inverted
OFFSET = 0.05  # a smaller mean, as a share of the RMS, is part of the music
ROUNDING = 1e-12  # A power that is a smaller share of what it was with the offset is an error.


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

        An array gives an array. Other samples are read once, block after block.
        """
        powers = _Powers.of(stereo)
        mean, usual = powers.mean.astype(np.float32)[:, None], stereo
        if np.abs(mean).max() > OFFSET * np.sqrt(powers.channels.mean()):
            usual, powers = _changed(lambda samples: samples - mean, stereo), powers.centred()
        louder = int(powers.channels[1] > powers.channels[0])
        if powers.channels[1 - louder] <= DEAD**2 * powers.channels[louder]:
            factors = (1.0, 0.0) if louder == 0 else (0.0, 1.0)
            return cls(_changed(lambda both: np.stack([both[louder]] * 2), usual), factors)
        if powers.mid < INVERTED**2 * powers.side:
            signs = np.array([[1], [-1]], np.float32)
            return cls(_changed(lambda both: both * signs, usual), (1.0, -1.0))
        return cls(usual, (1.0, 1.0))

    def restore(self, estimates: Samples) -> Samples:
        """Bring estimates `[..., 2, N]` of parts of `usual` back to the form of the original."""
        return estimates * np.array(self.factors, np.float32)[:, None]


@dataclass(frozen=True, eq=False)
class _Powers:
    """Sums over stereo audio, from which the power of any mixture of its channels follows.

    Attributes:
        mean: of each channel `[2]`.
        channels: the mean square of each channel `[2]`.
        product: the mean of the product of both channels.
    """

    mean: npt.NDArray[np.float64]
    channels: npt.NDArray[np.float64]
    product: float

    @classmethod
    def of(cls, stereo: SlicedSamples) -> "_Powers":
        total, squares, product = np.zeros(2), np.zeros(2), 0.0
        for block in blocks_of(stereo):
            exact = block.astype(np.float64)
            total += exact.sum(1)
            squares += np.square(exact).sum(1)
            product += float(exact[0] @ exact[1])
        count = max(1, stereo.shape[1])
        return cls(total / count, squares / count, product / count)

    @property
    def mid(self) -> float:
        """The mean square of left plus right."""
        return float(self.channels.sum()) + 2 * self.product

    @property
    def side(self) -> float:
        """The mean square of left minus right."""
        return float(self.channels.sum()) - 2 * self.product

    def centred(self) -> "_Powers":
        """Return the same for the audio without its mean; powers that are rounding errors are 0."""
        left = self.channels - self.mean**2
        left[left < ROUNDING * self.channels] = 0
        return _Powers(np.zeros(2), left, self.product - float(self.mean.prod()))


def _changed(change: Callable[[Samples], Samples], samples: SlicedSamples) -> SlicedSamples:
    """Change an array at once, and other samples when they are read."""
    return change(samples) if isinstance(samples, np.ndarray) else Derived(change, samples)
