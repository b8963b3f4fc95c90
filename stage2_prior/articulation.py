"""Attacks where the note stream has them.

A codec's frames are longer than an attack, and what it decodes of a note rises up to a frame ahead of
it, on top of the note before. The notes know better: just ahead of each attack the line dips, and is
back at its level when the note begins.
"""

import numpy as np
import numpy.typing as npt

from shared.music.notes import NoteVocabulary

# The dip's course: seconds from the attack, and gain.
COURSE = (-0.045, -0.008, -0.004, 0.004)
GAIN = (1.0, 0.15, 0.15, 1.0)


def articulate(
    samples: npt.NDArray[np.float32], notes: npt.NDArray[np.integer], sample_rate: int, hop: int
) -> npt.NDArray[np.float32]:
    """A line `[C, N]` with a dip before each attack of its note tokens `[T]`, frame t at sample t * hop."""
    length = samples.shape[-1]
    first, last = (round(seconds * sample_rate) for seconds in (COURSE[0], COURSE[-1]))
    around = np.arange(first, last + 1)
    dip = np.interp(around / sample_rate, COURSE, GAIN).astype(np.float32)
    gain = np.ones(length, np.float32)
    for attack in np.flatnonzero(NoteVocabulary.onsets(notes)) * hop:
        places = attack + around
        inside = (places >= 0) & (places < length)
        gain[places[inside]] = np.minimum(gain[places[inside]], dip[inside])
    return samples * gain
