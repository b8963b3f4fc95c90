"""Set the level of a bass line beside its song.

The codes determine the level too, but the prior sometimes generates a line that is far too soft.
In the shipped prior's training songs the bass is, while it sounds, 3 dB softer than the
accompaniment on average, with a standard deviation of 3 dB. A line outside a range around this
value is scaled to the nearest end of the range. Both levels are measured only where the line and
the song sound, and a burst of the song does not count (shared/sound/level_curve.py).

From there the line follows the song, whose level is taken apart into what fades in and out at its
ends, and breaks between louder parts:

- A fade is followed dB for dB. Up to 2 dB below the typical level are ignored, and from 4 dB below
  on it is followed in full.
- The first 6 dB of a break are ignored. It is followed from there on, but by no more than 10 dB, so
  that the bass does not vanish where only a cymbal goes on.
- The first 6 dB of a part above the typical level are ignored, and it is followed from there on.

Where the song has ended, the line is faded out. For a silent song, the line is silent.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import require
from shared.music.notes import NoteVocabulary
from shared.sound.level_curve import LevelCurve
from shared.sound.levels import TARGET_RMS
from shared.sound.samples import Samples
from shared.sound.sliced import BLOCK, SlicedSamples

LARGEST_DB = 60.0
# The levels of fades, relative to the typical one, and what a line is changed by for them.
FADE_DB, FADE_CHANGE_DB = (-LARGEST_DB, -4.0, -2.0, 6.0, LARGEST_DB), (-LARGEST_DB, -4, 0, 0, 54)
# The same for breaks, relative to the louder parts around them.
BREAK_DB, BREAK_CHANGE_DB = (-16.0, -6.0), (-10.0, 0.0)
FADE_OUT = 0.05  # s, after the end of the song

Notes = npt.NDArray[np.integer]


@dataclass(frozen=True)
class BalanceRange:
    """The range of levels of a bass line, in dB relative to the level of the accompaniment.

    The JSON of a prior's checkpoint holds these values under `balance`. The values here apply
    where it does not, and are written into the checkpoints of new training runs.

    Raises:
        UserError: the range is empty, or an end of it is further than 60 dB from the song.
    """

    softest_db: float = -4.0
    loudest_db: float = -2.0

    def __post_init__(self) -> None:
        """Check the range."""
        require(
            -LARGEST_DB <= self.softest_db <= self.loudest_db <= LARGEST_DB,
            f"the balance ranges from {self.softest_db} dB to {self.loudest_db} dB, but it must "
            f"rise, between {-LARGEST_DB:g} and {LARGEST_DB:g} dB",
        )


def balance_envelope(
    line: SlicedSamples,
    notes: Notes,
    accompaniment: SlicedSamples,
    sample_rate: int,
    balance: BalanceRange,
) -> npt.NDArray[np.float32]:
    """Return what to multiply each sample of a line by `[N]`; see `balance_curve`."""
    curve = balance_curve(line, notes, accompaniment, sample_rate, balance)
    return curve(0, line.shape[-1])


def balance_curve(
    line: SlicedSamples,
    notes: Notes,
    accompaniment: SlicedSamples,
    sample_rate: int,
    balance: BalanceRange,
) -> Callable[[int, int], npt.NDArray[np.float32]]:
    """Find what to multiply each sample of a line by.

    Args:
        line: the sound of the line `[2, N]`.
        notes: its note tokens `[T]`, evenly spread over the sound.
        accompaniment: the song without its bass `[2, N]`.
        sample_rate: samples per second of both.
        balance: the range of levels.

    Returns:
        A function that returns the factors of the samples from the first number to before the
        second one.
    """
    song = LevelCurve.of(accompaniment, sample_rate)
    if song.silent:
        return lambda start, stop: np.zeros(stop - start, np.float32)
    level = _level_beside(line, notes, song)
    change = (
        0.0 if level is None else np.clip(level, balance.softest_db, balance.loudest_db) - level
    )
    changes = change + following(song.envelope - song.typical)
    measured, end = song.times, song.end  # once, because a song of hours has many blocks

    def factors(start: int, stop: int) -> npt.NDArray[np.float32]:
        times = np.arange(start, stop) / sample_rate
        decibels = np.interp(times, measured, changes)
        faded = np.clip(1 - (times - end) / FADE_OUT, 0, 1)
        return (faded * 10 ** (decibels / 20)).astype(np.float32)

    return factors


def balance_gain(line: Samples, notes: Notes, song_gain: float, balance: BalanceRange) -> float:
    """Return the factor that brings a line into the range of levels in a part of a song.

    This is for lines beside codes, where only the level of the whole song is known.

    Args:
        line: the sound of the line `[2, N]`.
        notes: its note tokens `[T]`. The level is measured over the frames that are not rests.
        song_gain: what the song is multiplied by to reach the level of shared/sound/levels.py.
        balance: the range of levels.

    Returns:
        The factor, which is 1 for a line that is silent or consists of rests.
    """
    sounding = float(np.mean(np.asarray(notes) != NoteVocabulary.REST))
    power = float(np.square(line, dtype=np.float64).mean()) * song_gain**2
    if power == 0 or sounding == 0:
        return 1.0
    level = np.sqrt(power / sounding) / TARGET_RMS
    lowest, highest = (10 ** (db / 20) for db in (balance.softest_db, balance.loudest_db))
    return float(np.clip(level, lowest, highest) / level)


def level_beside_song(
    line: SlicedSamples, notes: Notes, accompaniment: SlicedSamples, sample_rate: int
) -> float | None:
    """Return the level of a line in dB relative to its song, measured where both sound.

    Args:
        line: the sound of the line `[2, N]`.
        notes: its note tokens `[T]`, evenly spread over the sound.
        accompaniment: the song without its bass `[2, N]`.
        sample_rate: samples per second of both.

    Returns:
        The level; None where one of them is silent.
    """
    song = LevelCurve.of(accompaniment, sample_rate)
    return None if song.silent else _level_beside(line, notes, song)


def song_end(accompaniment: SlicedSamples, sample_rate: int) -> float:
    """Return when a song `[2, N]` ends, in seconds.

    That is after its last sound if more than a second of silence is left, and otherwise with the
    last sample. A silent song ends at 0.
    """
    song = LevelCurve.of(accompaniment, sample_rate)
    return 0.0 if song.silent else song.end


def following(envelope: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return by how many dB a line follows the level of its song, as the module says.

    Args:
        envelope: the level of the song in dB relative to its typical level `[K]`.
    """
    before = np.maximum.accumulate(envelope)
    after = np.maximum.accumulate(envelope[::-1])[::-1]
    fades = np.minimum(before, after)
    return np.asarray(
        np.interp(fades, FADE_DB, FADE_CHANGE_DB)
        + np.interp(envelope - fades, BREAK_DB, BREAK_CHANGE_DB)
    )


def _level_beside(line: SlicedSamples, notes: Notes, song: LevelCurve) -> float | None:
    """Return the level of a line relative to a song that is not silent; None for a silent line."""
    is_played = np.asarray(notes) != NoteVocabulary.REST
    length, sounding = line.shape[-1], song.sounding
    powers, counts = np.zeros(2), np.zeros(2)  # while the line plays; while both sound
    for start in range(0, length, BLOCK):
        block = line[:, start : start + BLOCK]
        place = np.arange(start, start + block.shape[-1]) / max(1, length)
        played = is_played[(place * len(notes)).astype(np.int64)]
        both = played & sounding[(place * len(song.blocks)).astype(np.int64)]
        for index, chosen in enumerate((played, both)):
            powers[index] += np.square(block[:, chosen], dtype=np.float64).sum()
            counts[index] += len(block) * np.count_nonzero(chosen)
    which = int(counts[1] > 0)
    power = powers[which] / counts[which] if counts[which] else 0.0
    return 10 * float(np.log10(power)) - song.typical if power > 0 else None
