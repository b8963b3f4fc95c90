"""How loud a recording is as a whole, by ITU-R BS.1770."""

import math

from shared.sound.samples import Samples

SHORTEST = 0.4  # s; the block over which the recommendation measures


def integrated_loudness(samples: Samples, sample_rate: int) -> float | None:
    """Return the loudness of `[2, N]` in LUFS; None for silence and for less than 0.4 s."""
    from pyloudnorm import Meter

    if samples.shape[-1] <= SHORTEST * sample_rate:
        return None
    loudness = float(Meter(sample_rate).integrated_loudness(samples.T))
    return loudness if math.isfinite(loudness) else None
