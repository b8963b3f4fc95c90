"""How a line agrees with what the listener hears: what decides between candidates.

The composer's own probabilities are no good judge. Candidates that are probable given the song are
often just short of notes, and those that the song makes more probable for each note are mostly
sparse. The listener says of every position how probable each pitch class and a rest of the bass
are, so that notes at the wrong places, wrong pitches and missing notes all count.
"""

import numpy as np

from stage2_prior.composer.features import REST, Floats, pitch_classes
from stage2_prior.composer.grid_notes import GridNotes

UNSURE = 0.06  # the probability that the listener is wrong about everything

LEAST_SOUND = 0.5  # of the time that a bass is heard to sound

SOUNDS = 1  # the column of pitch class 0; column 0 is that of a rest


def agreement(notes: GridNotes, features: Floats) -> float:
    """Return the mean log-probability in nats of what a line plays, as the listener hears it.

    Args:
        notes: the line.
        features: what the listener hears at each position `[P, FEATURES]`. Positions at which
            everything is 0 lie outside the song, and do not count.
    """
    inside = features.any(1)
    if not inside.any():
        return 0.0
    heard = np.concatenate((features[:, [REST]], pitch_classes(features)), axis=1)
    heard = (1 - UNSURE) * heard + UNSURE / heard.shape[1]
    played = np.zeros(len(features), np.int64)
    for onset, length, pitch in zip(notes.onset, notes.length, notes.pitch, strict=True):
        played[onset : onset + length] = SOUNDS + pitch % 12
    return float(np.log(heard[np.arange(len(heard)), played])[inside].mean())


def sounds_enough(notes: GridNotes, features: Floats) -> bool:
    """Whether a line sounds for at least LEAST_SOUND of the time in which a bass is heard.

    Where the listener is unsure of everything, a rest is more probable than any one pitch class, so
    that silence agrees best with what is heard. A line is asked for, however.

    Args:
        notes: the line.
        features: what the listener hears at each position `[P, FEATURES]`.
    """
    inside = features.any(1)
    heard = float((1 - features[inside, REST]).sum())
    return int(np.sum(notes.length)) >= LEAST_SOUND * heard
