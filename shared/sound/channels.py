"""Channels as a codec expects them: both alive, in phase with each other, and without an offset.

Songs are found with one dead channel, with one channel inverted (left = -right), and with a DC
offset. A codec has met none of these in training. Such a song is brought to the usual form, and
what is estimated from it is brought back.
"""

from dataclasses import dataclass

import numpy as np

from shared.sound.samples import Samples, rms

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

    usual: Samples
    factors: tuple[float, float]

    @classmethod
    def of(cls, stereo: Samples) -> "Channels":
        """Bring stereo audio `[2, N]` to its usual form."""
        mean = stereo.mean(axis=-1, keepdims=True)
        usual = stereo - mean if np.abs(mean).max() > OFFSET * rms(stereo) else stereo
        levels = [rms(channel) for channel in usual]
        louder = int(levels[1] > levels[0])
        if levels[1 - louder] <= DEAD * levels[louder]:
            factors = (1.0, 0.0) if louder == 0 else (0.0, 1.0)
            return cls(np.stack([usual[louder]] * 2), factors)
        if rms(usual[0] + usual[1]) < INVERTED * rms(usual[0] - usual[1]):
            return cls(usual * np.array([[1], [-1]], np.float32), (1.0, -1.0))
        return cls(usual, (1.0, 1.0))

    def restore(self, estimates: Samples) -> Samples:
        """Bring estimates `[..., 2, N]` of parts of `usual` back to the form of the original."""
        return estimates * np.array(self.factors, np.float32)[:, None]
