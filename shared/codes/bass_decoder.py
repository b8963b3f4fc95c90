"""A decoder of the codes of a bass alone, as reports and stage 2 see it."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codes
from shared.sound.samples import Samples

Notes = npt.NDArray[np.integer]


class BassDecoder(Protocol):
    """Turns the codes of a bass into sound, with the help of its notes where they are known."""

    def decode(self, codes: Codes, notes: Notes | None, num_samples: int) -> Samples:
        """Decode codes `[H, T]` to audio `[2, num_samples]`, at the level that was encoded.

        Args:
            codes: of the bass.
            notes: note tokens `[T]`, negative where they are not known; None where none are.
            num_samples: the length of the audio.
        """

    def decode_blocks(
        self, codes: Codes, notes: Notes | None, num_samples: int
    ) -> Iterator[Samples]:
        """Decode as `decode` does, block after block `[2, n]`, so that memory stays flat."""

    def description(self) -> dict[str, Any]:
        """Return what one must know, beside the codec's checkpoint, to decode the same again."""
