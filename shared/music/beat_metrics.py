"""How well beats are found.

The F-measure is that of `mir_eval.beat.f_measure`: a beat is found if an estimate lies within 70 ms
of it, and an estimate finds at most one beat. MIREX and mir_eval's `evaluate` leave out the first
five seconds of a song; here nothing is left out.
"""

import numpy as np
import numpy.typing as npt

from shared.music.bass_metrics import match_onsets

TOLERANCE = 0.07  # s

Times = npt.NDArray[np.float64]


def beat_f1(found: Times, true: Times) -> float:
    """Compute the F-measure of beats at 70 ms, from 0 to 1; 0 if there are none.

    Args:
        found: estimated times in seconds `[F]`, rising.
        true: the beats' times in seconds `[B]`, rising.
    """
    if not len(found) or not len(true):
        return 0.0
    return 2 * match_onsets(true, found, TOLERANCE) / (len(found) + len(true))
