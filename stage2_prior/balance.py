"""Set the level of a bass line beside its song.

The codes determine the level too, but the prior sometimes generates a line that is far too soft.
In the shipped prior's training songs the bass is, while it sounds, 3 dB softer than the
accompaniment on average, with a standard deviation of 3 dB. A line outside a range around this
value is scaled to the nearest end of the range.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import require
from shared.music.notes import NoteVocabulary
from shared.sound.levels import TARGET_RMS

LARGEST_DB = 60.0


@dataclass(frozen=True)
class BalanceRange:
    """The range of levels of a bass line, in dB relative to the RMS of the accompaniment.

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


def balance_gain(
    line: npt.NDArray[np.float32],
    notes: npt.NDArray[np.integer],
    song_gain: float,
    balance: BalanceRange,
) -> float:
    """Return the factor that brings a line `[2, N]` into the range of levels.

    Args:
        line: the sound of the line.
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
