"""Shape the attacks of a bass line as its note tokens say.

A frame of a codec is longer than an attack, and the decoded sound of a note begins to rise up to a
frame too early, over the end of the note before. A pitch that is struck again is hardly struck at
all. The note tokens know where a note starts. The line is therefore made softer just before each
attack, and returns to its level when the note starts.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from shared.music.notes import NoteVocabulary

# The gain around an attack: seconds relative to the attack, and the gain at each of them.
DIP_SECONDS = (-0.045, -0.008, -0.004, 0.004)
DIP_GAIN = (1.0, 0.15, 0.15, 1.0)


def articulate(
    samples: npt.NDArray[np.float32], notes: npt.NDArray[np.integer], sample_rate: int, hop: int
) -> npt.NDArray[np.float32]:
    """Make a line softer just before each of its attacks.

    Args:
        samples: the line `[C, N]`.
        notes: its note tokens `[T]`, negative where they are not known. Frame t begins at the
            sample t * hop.
        sample_rate: samples per second.
        hop: samples per frame.

    Returns:
        The line `[C, N]`.
    """
    return next(articulate_blocks(iter([samples]), notes, sample_rate, hop))


def articulate_blocks(
    blocks: Iterator[npt.NDArray[np.float32]],
    notes: npt.NDArray[np.integer],
    sample_rate: int,
    hop: int,
) -> Iterator[npt.NDArray[np.float32]]:
    """Articulate a line as `articulate` does, block after block `[C, n]`."""
    first, last = (round(seconds * sample_rate) for seconds in (DIP_SECONDS[0], DIP_SECONDS[-1]))
    around = np.arange(first, last + 1)
    dip = np.interp(around / sample_rate, DIP_SECONDS, DIP_GAIN).astype(np.float32)
    attacks = (np.asarray(notes) >= 0) & NoteVocabulary.onsets(notes)
    places = np.flatnonzero(attacks) * hop
    start = 0
    for block in blocks:
        length = block.shape[-1]
        gain = np.ones(length, np.float32)
        for attack in places[(places + last >= start) & (places + first < start + length)]:
            at = attack + around - start
            inside = (at >= 0) & (at < length)
            gain[at[inside]] = np.minimum(gain[at[inside]], dip[inside])
        yield block * gain
        start += length
