"""How loud a song is over time, without its beats and bursts.

The level is measured in blocks of 50 ms and averaged over 0.65 s. Then gaps of less than 4 s
are filled and peaks of less than 2.5 s are cut (a morphological closing and opening), so that
neither the rests between two chords nor a burst count. A fade of any length stays as it is. Levels
are in dB relative to full scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.sound.channels import Channels
from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples, blocks_of

BLOCK = 0.05  # s
WINDOW_BLOCKS = 13
GAP_BLOCKS, BURST_BLOCKS = 81, 51
SILENCE_DB = -100.0
BLOCKS_AT_ONCE = 512  # are measured together
# A song sounds where it is less than so many dB below its loudest part.
SOUNDING_DB = 30.0
# What is so many dB below the typical level is not heard any more.
ENDED_DB = 50.0
SHORTEST_TAIL = 1.0  # s; less silence than this at the end belongs to the song

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LevelCurve:
    """The level of a song over its K blocks.

    Attributes:
        seconds: the length of the song.
        blocks: the level of each block `[K]`.
        levels: the level of the 0.65 s around each block `[K]`.
        envelope: the same without gaps and bursts `[K]`.
    """

    seconds: float
    blocks: Floats
    levels: Floats
    envelope: Floats

    @classmethod
    def of(cls, song: SlicedSamples, sample_rate: int) -> LevelCurve:
        """Measure a song `[2, N]`.

        The power of both channels counts, so that it does not matter whether they are in phase. A
        dead channel and a constant offset do not count (channels.py).
        """
        from scipy.ndimage import uniform_filter1d

        usual = Channels.of(song).usual
        size = max(1, round(BLOCK * sample_rate))
        parts = [_powers(part, size) for part in blocks_of(usual, BLOCKS_AT_ONCE * size)]
        blocks = np.concatenate(parts or [np.zeros(0)])
        share = uniform_filter1d(np.ones(len(blocks)), WINDOW_BLOCKS, mode="constant")
        averaged = uniform_filter1d(blocks, WINDOW_BLOCKS, mode="constant") / share
        levels = _decibels(averaged)
        return cls(usual.shape[1] / sample_rate, _decibels(blocks), levels, _envelope(levels))

    @property
    def times(self) -> Floats:
        """The centres of the blocks in seconds `[K]`."""
        return np.asarray(BLOCK * (np.arange(len(self.blocks)) + 0.5), np.float64)

    @property
    def silent(self) -> bool:
        """Whether nothing sounds."""
        return bool(self.envelope.max(initial=SILENCE_DB) <= SILENCE_DB)

    @property
    def sounding(self) -> npt.NDArray[np.bool_]:
        """Which blocks belong to a part that sounds `[K]`."""
        loudest = self.envelope.max(initial=SILENCE_DB)
        return self.envelope > max(loudest - SOUNDING_DB, SILENCE_DB)

    @property
    def typical(self) -> float:
        """The level of the parts that sound: that of their mean power without bursts."""
        if self.silent:
            return SILENCE_DB
        limited = np.minimum(self.levels, self.envelope)[self.sounding]
        return float(10 * np.log10(np.mean(10 ** (limited / 10))))

    @property
    def end(self) -> float:
        """When the song ends, in seconds: after its last sound, if at least a second is left."""
        heard = np.flatnonzero(self.blocks > max(self.typical - ENDED_DB, SILENCE_DB))
        last = BLOCK * (int(heard[-1]) + 1) if len(heard) else 0.0
        return last if self.seconds - last > SHORTEST_TAIL else self.seconds


def _powers(samples: Samples, size: int) -> Floats:
    """Return the mean power of each block of so many samples; the last one may be shorter."""
    power = np.square(samples, dtype=np.float64).mean(0)
    starts = np.arange(0, len(power), size)
    return np.add.reduceat(power, starts) / np.diff(starts, append=len(power))


def _decibels(power: Floats) -> Floats:
    return 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))


def _envelope(levels: Floats) -> Floats:
    """Fill gaps and cut bursts, except where nothing but bursts would be there."""
    from scipy.ndimage import grey_closing, grey_opening

    # Before and after the song there is silence, which no gap is.
    padded = np.pad(levels, GAP_BLOCKS, constant_values=SILENCE_DB)
    closed = grey_closing(padded, size=GAP_BLOCKS)[GAP_BLOCKS : GAP_BLOCKS + len(levels)]
    opened = grey_opening(closed, size=BURST_BLOCKS, mode="nearest")
    return opened if opened.max() > closed.max() - SOUNDING_DB else closed
