"""A codec for tests of codes, which has the shapes of a real one and simple values."""

from collections.abc import Sequence

import numpy as np

from shared.codes.codec import Codes
from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples, whole
from shared.sources import SOURCES
from tests.one_block import OneBlock

SILENT_CODE = 7


class ToyCodec(OneBlock):
    """100 samples per second, 10 per frame, 2 codebooks of 8 entries."""

    sample_rate, hop, frame_rate = 100, 10, 10.0
    sources, num_codebooks, cardinality = SOURCES, 2, 8
    fingerprint = "toy-1"
    audible_bass = 0.18

    def num_frames(self, num_samples: int) -> int:
        """Count the frames as the shipped codec does: the last one is at or after the end."""
        return -(-num_samples // self.hop) + 1

    def encode(self, audio: SlicedSamples) -> Codes:
        """Encode silence, which is all that the tests encode."""
        assert not whole(audio).any()
        shape = (len(self.sources), self.num_codebooks, self.num_frames(audio.shape[1]))
        return np.full(shape, SILENT_CODE, np.uint16)

    def decode(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Samples:
        """Each sample is the sum of its frame's codes, of the first codebooks, divided by 32."""
        rows = [self.sources.index(source) for source in sources or self.sources]
        frames = codes[rows, 0].sum(0) / np.float32(32)
        return np.tile(np.repeat(frames, self.hop)[:num_samples], (2, 1)).astype(np.float32)

    def separate(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Samples:
        """Give every source the same share."""
        return np.stack([whole(mixture) / len(self.sources)] * len(sources or self.sources))
