"""A codec for tests of codes: it has the shapes of a real one, and silence is its only sound."""

import numpy as np
import numpy.typing as npt

from shared.sources import SOURCES

SILENT_CODE = 7


class ToyCodec:
    """100 samples per second, 10 per frame, 2 codebooks of 8 entries."""

    sample_rate, hop, frame_rate = 100, 10, 10.0
    sources, num_codebooks, cardinality = SOURCES, 2, 8
    fingerprint = "toy-1"
    audible_bass = 0.18

    def num_frames(self, num_samples: int) -> int:
        """Count the frames as the shipped codec does: the last one is at or after the end."""
        return -(-num_samples // self.hop) + 1

    def encode(self, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
        assert not audio.any()
        shape = (len(self.sources), self.num_codebooks, self.num_frames(audio.shape[1]))
        return np.full(shape, SILENT_CODE, np.uint16)

    def decode(
        self,
        codes: npt.NDArray[np.uint16],
        num_samples: int,
        sources: object = None,
    ) -> npt.NDArray[np.float32]:
        raise AssertionError("these tests decode nothing")
