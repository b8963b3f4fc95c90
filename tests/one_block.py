"""A codec for tests that decodes and separates in one block."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from shared.codes.codec import Codes
from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples, whole


class OneBlock(ABC):
    """The part of a codec that works block after block, where one block is the whole sound."""

    @abstractmethod
    def decode(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Samples: ...

    @abstractmethod
    def separate(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Samples: ...

    def decode_blocks(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Iterator[Samples]:
        yield self.decode(codes, num_samples, sources)

    def separate_blocks(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Iterator[Samples]:
        yield self.separate(whole(mixture), sources, codes)
