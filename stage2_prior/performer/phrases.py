"""Cut a line into phrases that can be played at the same time.

Steps of a small network wait for memory, so that a batch of phrases takes little longer than one
phrase. A phrase does not hear the end of the phrase before it. It hears a reference instead, which
is one stretch of the line that all phrases continue as if it had come just before them. So they
share one instrument and one way of playing.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.notes import NoteVocabulary

TOLERANCE = 0.4  # of a phrase's length; how far a cut may lie from an even one
SLURRED, HELD = 0.5, 1.5  # how bad it is to cut before a note without a rest, and within a note
ENOUGH_SOUND = 0.5  # share of a known stretch in which notes sound, if it is to be the reference

Tokens = npt.NDArray[np.integer]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Phrase:
    """The frames of a line from `start` until before `stop`."""

    start: int
    stop: int

    @property
    def frames(self) -> int:
        """The number of frames."""
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """The frames as an index."""
        return slice(self.start, self.stop)


def plan_phrases(tokens: Tokens, free: Flags, length: int, bridged: int) -> list[Phrase]:
    """Cut the frames that are to be played into phrases.

    The cuts lie in rests and before notes that follow a rest where such a place is near, then
    before other notes.

    Args:
        tokens: note tokens `[T]`.
        free: the frames in which something is to be played `[T]`.
        length: the number of frames of a phrase. A phrase may be up to 1.8 times as long.
        bridged: free frames may share a phrase if at most this many others lie between them.

    Returns:
        The phrases in their order. All free frames lie in one of them.
    """
    places = np.flatnonzero(free)
    if not len(places):
        return []
    gaps = np.flatnonzero(np.diff(places) > bridged + 1)
    starts = places[np.append(0, gaps + 1)]
    stops = places[np.append(gaps, len(places) - 1)] + 1
    badness = _badness(tokens)
    return [
        phrase
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
        for phrase in _cut(start, stop, badness, length)
    ]


def _cut(start: int, stop: int, badness: npt.NDArray[np.float64], length: int) -> list[Phrase]:
    count = -(-(stop - start) // length)
    size = (stop - start) / count
    reach = int(TOLERANCE * size)
    cuts = [start]
    for i in range(1, count):
        even = start + round(i * size)
        nearby = np.arange(even - reach, even + reach + 1)
        shift = np.abs(nearby - even) / max(1, reach)
        cuts.append(int(nearby[(badness[nearby] + shift).argmin()]))
    return [Phrase(a, b) for a, b in itertools.pairwise([*cuts, stop]) if a < b]


def _badness(tokens: Tokens) -> npt.NDArray[np.float64]:
    """Return how bad it is to cut before each frame `[T]`; 0 is best."""
    after_rest = np.append(True, tokens[:-1] == NoteVocabulary.REST)
    slurred = NoteVocabulary.onsets(tokens) | (tokens == NoteVocabulary.REST)
    return np.select([after_rest, slurred], [0.0, SLURRED], HELD)


def choose_reference(tokens: Tokens, known: Flags, length: int) -> Phrase:
    """Choose the stretch that all phrases continue.

    It begins with a note, and notes sound in as much of it as possible. It is a stretch whose codes
    are known, if there is one with enough sound.

    Args:
        tokens: note tokens `[T]`.
        known: the frames whose codes are known `[T]`.
        length: the number of frames, at most T.
    """
    last = len(tokens) - length
    starts = np.flatnonzero(NoteVocabulary.onsets(tokens[: last + 1]))
    starts = starts if len(starts) else np.array([0])
    sounding = _sums(tokens != NoteVocabulary.REST, length)[starts]
    is_known = _sums(known, length)[starts] == length
    if (sounding[is_known] >= ENOUGH_SOUND * length).any():
        sounding = np.where(is_known, sounding, -1)
    start = int(starts[sounding.argmax()])
    return Phrase(start, start + length)


def _sums(flags: Flags, length: int) -> npt.NDArray[np.int64]:
    """Return how many flags are set from each frame on, within `length` frames."""
    totals = np.append(0, flags.cumsum())
    return totals[length:] - totals[: len(totals) - length]
