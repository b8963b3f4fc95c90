"""How much the frames without bass count in training."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt


class KnownFrames(Protocol):
    """A song of which it is known where the bass rests and where it sounds."""

    @property
    def rests(self) -> npt.NDArray[np.bool_]:
        """The frames in which the bass is known to rest `[T]`."""

    @property
    def sounds(self) -> npt.NDArray[np.bool_]:
        """The frames in which a note is known to sound `[T]`."""


def rest_weight(songs: Iterable[KnownFrames], share: float) -> float:
    """Return the weight of a frame in which the bass rests, relative to one in which it sounds.

    It is 1, or less if the rests would otherwise have more than `share` of all weight.
    """
    counts = [(int(song.rests.sum()), int(song.sounds.sum())) for song in songs]
    rests, sounds = (sum(column) for column in zip(*counts, strict=True))
    if rests <= share * (rests + sounds):
        return 1.0
    return share * sounds / ((1 - share) * rests)
