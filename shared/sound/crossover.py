"""Join the lows of one sound with the highs of another."""

import numpy as np
from scipy.signal import firwin, oaconvolve

from shared.errors import require
from shared.sound.samples import Samples

TAPS = 2049  # an odd number; at 44.1 kHz the transition is some 70 Hz wide
BLOCK = 2**18  # samples that are filtered at once, so that memory stays flat


def require_crossover(crossover_hz: float, sample_rate: int) -> None:
    """Raise UserError if sounds of this sample rate have no highs above the crossover."""
    require(
        0 < crossover_hz < sample_rate / 2,
        f"there is no crossover at {crossover_hz:g} Hz, because sound of {sample_rate} Hz has "
        f"frequencies up to {sample_rate / 2:g} Hz: set a lower one",
    )


def join_bands(low: Samples, high: Samples, crossover_hz: float, sample_rate: int) -> Samples:
    """Join `low` below a frequency with `high` above it.

    The two filters have linear phase and add up to 1, so that two equal sounds give that sound.

    Args:
        low: samples `[C, N]`.
        high: samples `[C, N]`, or `[1, N]` for all channels.
        crossover_hz: where both count by half.
        sample_rate: in Hz.

    Returns:
        float32 `[C, N]`.

    Raises:
        UserError: the frequency is not within the sound.
    """
    require_crossover(crossover_hz, sample_rate)
    taps = firwin(TAPS, crossover_hz, fs=sample_rate).astype(np.float32)[None]
    joined = np.empty_like(low, np.float32)
    reach, length = TAPS // 2, low.shape[-1]
    for start in range(0, length, BLOCK):
        stop = min(length, start + BLOCK)
        first, last = max(0, start - reach), min(length, stop + reach)
        difference = low[:, first:last] - high[:, first:last]
        padding = (reach - (start - first), reach - (last - stop))
        padded = np.pad(difference, ((0, 0), padding))
        filtered = oaconvolve(padded, taps, mode="valid", axes=1)
        joined[:, start:stop] = high[:, start:stop] + filtered
    return joined
