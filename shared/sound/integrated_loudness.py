"""Loudness by ITU-R BS.1770-4, as pyloudnorm measures it."""

import math
import warnings

from shared.sound.samples import Samples

_BLOCK = 0.4  # s, the shortest sound that has a loudness
_LOWEST_RATE = 8000  # Hz; the filters of the standard need the frequencies up to half of it


def integrated_loudness(samples: Samples, sample_rate: int) -> float | None:
    """Measure the loudness of samples `[channels, N]` in LUFS.

    Returns:
        The loudness; None where there is none, because the sound is silent, shorter than 0.4 s, or
        has a sample rate under 8 kHz.
    """
    if sample_rate < _LOWEST_RATE or samples.shape[1] < _BLOCK * sample_rate:
        return None
    import pyloudnorm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the logarithm of silence
        loudness = float(pyloudnorm.Meter(sample_rate).integrated_loudness(samples.T))
    return round(loudness, 2) if math.isfinite(loudness) else None
