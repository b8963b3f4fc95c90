"""How loud a bass is beside its song.

The codes hold the level too, but the prior now and then writes a line far too soft. Basses of its
training songs sit, while they sound, 3 dB below their accompaniment, with a standard deviation of
3 dB. A line that lies off the middle of them is brought to the nearest level that does not.
"""

import numpy as np
import numpy.typing as npt

from shared.music.notes import NoteVocabulary
from shared.sound.levels import TARGET_RMS

SOFTEST_DB, LOUDEST_DB = -4.0, -2.0  # of the accompaniment's RMS


def balance_gain(
    line: npt.NDArray[np.float32], notes: npt.NDArray[np.integer], song_gain: float
) -> float:
    """What to multiply a line `[C, N]` by; 1 where it has no sound or no note.

    Args:
        notes: its note tokens `[T]`; rests do not count.
        song_gain: what its song is multiplied by to come to the agreed level (shared/sound/levels.py).
    """
    sounding = float(np.mean(np.asarray(notes) != NoteVocabulary.REST))
    power = float(np.square(line, dtype=np.float64).mean()) * song_gain**2
    if power == 0 or sounding == 0:
        return 1.0
    level = np.sqrt(power / sounding) / TARGET_RMS
    lowest, highest = (10 ** (decibels / 20) for decibels in (SOFTEST_DB, LOUDEST_DB))
    return float(np.clip(level, lowest, highest) / level)
