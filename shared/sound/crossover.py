"""Join the lows of one sound with the highs of another."""

from collections.abc import Iterable, Iterator

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


def join_bands(
    blocks: Iterable[tuple[Samples, Samples]], crossover_hz: float, sample_rate: int
) -> Iterator[Samples]:
    """Join the lows of one sound with the highs of another, block after block `[C, n]`.

    The two filters have linear phase and add up to 1, so that two equal sounds give that sound.

    Args:
        blocks: the same samples of both, one after the other: those of the sound whose lows are
            taken `[C, n]`, and those of the one whose highs are `[C, n]`, or `[1, n]` for all
            channels.
        crossover_hz: where both count by half.
        sample_rate: in Hz.

    Raises:
        UserError: the frequency is not within the sound.
        ValueError: the two differ in length.
    """
    require_crossover(crossover_hz, sample_rate)
    taps = firwin(TAPS, crossover_hz, fs=sample_rate).astype(np.float32)[None]
    reach = TAPS // 2
    # `highs` and `differences` begin `reach` samples before the sound that comes next.
    highs: Samples | None = None
    differences: Samples | None = None
    for below, above in blocks:
        if below.shape[1] != above.shape[1]:
            raise ValueError("the two sounds differ in length")
        difference = below - above
        if highs is None or differences is None:
            highs = np.zeros((len(above), reach), np.float32)
            differences = np.zeros((len(difference), reach), np.float32)
        highs = np.concatenate((highs, above), axis=1)
        differences = np.concatenate((differences, difference), axis=1)
        while differences.shape[1] - 2 * reach >= BLOCK:
            yield _joined(highs, differences, taps, BLOCK)
            highs, differences = highs[:, BLOCK:], differences[:, BLOCK:]
    if highs is None or differences is None:
        return
    left = differences.shape[1] - reach
    differences = np.pad(differences, ((0, 0), (0, reach)))
    for start in range(0, left, BLOCK):
        yield _joined(highs[:, start:], differences[:, start:], taps, min(BLOCK, left - start))


def _joined(highs: Samples, differences: Samples, taps: Samples, count: int) -> Samples:
    """Join `count` samples, of which both arrays begin `TAPS // 2` samples before the first."""
    reach = TAPS // 2
    filtered = oaconvolve(differences[:, : count + 2 * reach], taps, mode="valid", axes=1)
    return np.asarray(highs[:, reach : reach + count] + filtered, np.float32)
