"""The one level convention: a song is scaled so that its accompaniment has an RMS of 0.1 before it is encoded.

The prior then meets every song at the same level, and what it writes comes back at the song's own.
"""

import numpy as np

TARGET_RMS = 0.1


def accompaniment_gain(accompaniment: np.ndarray) -> float:
    """The gain for a song whose sound without bass is `accompaniment` [2, N]; 1 where that is silent."""
    rms = float(np.sqrt(np.square(accompaniment, dtype=np.float64).mean()))
    return TARGET_RMS / rms if rms > 1e-5 else 1.0
