"""The level at which songs are encoded.

One gain scales a song so that its accompaniment, the song without its bass, has an RMS of 0.1. The
prior then meets every song at the same level, and decoded audio divided by the gain has the song's
own level again.
"""

from shared.sound.samples import rms
from shared.sound.sliced import SlicedSamples

TARGET_RMS = 0.1
_SILENCE = 1e-5  # RMS, -100 dBFS


def accompaniment_gain(accompaniment: SlicedSamples) -> float:
    """Compute the gain of a song from its accompaniment `[2, N]`; 1 where that is silent."""
    level = rms(accompaniment)
    return TARGET_RMS / level if level > _SILENCE else 1.0
