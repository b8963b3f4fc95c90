"""Decide whether a song has a bass.

A kick drum, a low piano and a pad all leave something in the bass of a separation. A bass has to
show in three ways, and the weakest of them counts: in the sound that the codec decodes from the
song's codes, in the estimate that it separates from the song, and in the pitched part of that
estimate. All three are levels relative to the song, so that neither its loudness nor a fade
matters.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.sound.decimated import DecimatedFrames
from shared.sound.samples import rms
from shared.sound.sliced import SlicedSamples

# The pitched part is looked for where basses have their fundamental and their first overtones.
LOWEST_HZ, HIGHEST_HZ = 30.0, 400.0
WORKING_RATE = 5500  # Hz, about
WINDOW, HOP = 1024, 256  # samples at that rate: 186 and 46 ms
# Medians over so many frames (0.3 s) keep what is held, and over so many bins what is struck.
HELD_FRAMES, STRUCK_BINS = 7, 11

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BassSearch:
    """How loud the bass of a song is beside the song, by three measures.

    Attributes:
        decoded: RMS of the decoded bass, as a share of the song's.
        separated: RMS of the separated bass, as a share of the song's.
        pitched: RMS of the pitched part of the separated bass, as a share of the song's between 30
            and 400 Hz.
        threshold: the share from which a song counts as having a bass.
    """

    decoded: float
    separated: float
    pitched: float
    threshold: float

    @property
    def share(self) -> float:
        """The smallest of the three shares."""
        return min(self.decoded, self.separated, self.pitched)

    @property
    def found(self) -> bool:
        """Whether the song has a bass."""
        return self.share >= self.threshold

    def __str__(self) -> str:
        """Say what was found, as a sentence."""
        share, threshold = f"{self.share:.2f}", f"{self.threshold:.2f}"
        if self.found:
            return f"the song has a bass (share {share}, from {threshold} on it counts)"
        return f"the song has no bass (share {share}, below {threshold})"


def search_bass(
    song: SlicedSamples,
    decoded: float,
    separated: SlicedSamples,
    sample_rate: int,
    threshold: float,
) -> BassSearch:
    """Measure the bass of a song that is not silent. All audio is `[2, N]` at one level.

    Args:
        song: the song.
        decoded: the RMS of the bass that is decoded from its codes.
        separated: the bass that is separated from it.
        sample_rate: of both, in Hz.
        threshold: the share from which a song counts as having a bass.
    """
    level = rms(song)
    in_song = np.sqrt(sum(float(np.square(part).sum()) for part in _lows(song, sample_rate)))
    pitched = np.sqrt(sum(_pitched_power(_lows(separated, sample_rate))))
    return BassSearch(
        decoded=decoded / level,
        separated=rms(separated) / level,
        pitched=float(pitched / max(in_song, 1e-9)),
        threshold=threshold,
    )


def _lows(audio: SlicedSamples, sample_rate: int) -> Iterator[Floats]:
    """Compute the magnitudes `[frames, bins]` from LOWEST_HZ to HIGHEST_HZ of both channels."""
    from scipy.fft import rfft

    factor = max(1, sample_rate // WORKING_RATE)
    hertz = np.fft.rfftfreq(WINDOW, factor / sample_rate)
    chosen = (hertz > LOWEST_HZ) & (hertz < HIGHEST_HZ)
    window = np.hanning(WINDOW + 1)[:-1]
    for frames in DecimatedFrames(audio, factor, WINDOW, HOP, shortest=WINDOW).blocks():
        yield np.abs(rfft(frames * window, axis=1)[:, chosen])


def _pitched_power(blocks: Iterable[Floats]) -> Iterator[float]:
    """Add up the power of what is held over time, by median filtering (Fitzgerald, 2010).

    Yields the sum of each block of magnitudes `[frames, bins]`.
    """
    from scipy.ndimage import median_filter

    # A frame is only judged when as many frames as the filter reads are known around it.
    reach = HELD_FRAMES // 2
    known, judged = np.zeros((0, 0)), 0  # the frame of `known` from which on none is judged
    for block in itertools.chain(blocks, [None]):
        if block is not None:
            known = np.concatenate((known.reshape(-1, block.shape[1]), block))
        stop = len(known) if block is None else len(known) - reach
        if stop <= judged:
            continue
        held = median_filter(known, (HELD_FRAMES, 1), mode="reflect")[judged:stop]
        struck = median_filter(known, (1, STRUCK_BINS), mode="reflect")[judged:stop]
        # A soft mask; where there is nothing, it does not matter.
        larger = np.maximum(np.maximum(held, struck), np.finfo(np.float64).tiny)
        held, struck = np.square(held / larger), np.square(struck / larger)
        share = held / np.maximum(held + struck, np.finfo(np.float64).tiny)
        yield float(np.square(known[judged:stop] * share).sum())
        kept = max(0, stop - reach)
        known, judged = known[kept:], stop - kept
