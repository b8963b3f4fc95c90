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
    blocks = join_blocks([low], [high], crossover_hz, sample_rate)
    return np.concatenate([*blocks], axis=1) if low.shape[-1] else np.zeros_like(low)


def join_blocks(
    low: Iterable[Samples], high: Iterable[Samples], crossover_hz: float, sample_rate: int
) -> Iterator[Samples]:
    """Join two sounds as `join_bands` does, block after block `[C, n]`.

    Args:
        low: the one sound, in blocks `[C, n]`.
        high: the other one, in blocks of any other lengths.
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
    for below, above in _even(low, high):
        difference = below - above
        if highs is None or differences is None:
            highs = np.zeros((len(above), reach), np.float32)
            differences = np.zeros((len(difference), reach), np.float32)
        highs = np.concatenate((highs, above), axis=1)
        differences = np.concatenate((differences, difference), axis=1)
        if differences.shape[1] - 2 * reach >= BLOCK:
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


def _even(some: Iterable[Samples], others: Iterable[Samples]) -> Iterator[tuple[Samples, Samples]]:
    """Cut the blocks of two sounds so that they have the same lengths, BLOCK at most."""
    waiting: list[Samples | None] = [None, None]
    sources = [iter(some), iter(others)]
    while True:
        for index, source in enumerate(sources):
            held = waiting[index]
            if held is None or held.shape[1] == 0:
                waiting[index] = next(source, None)
        first, second = waiting
        if first is None or second is None:
            if first is not second:
                raise ValueError("the two sounds differ in length")
            return
        length = min(first.shape[1], second.shape[1], BLOCK)
        if length:
            yield first[:, :length], second[:, :length]
        waiting = [first[:, length:], second[:, length:]]
