"""A mixture taken apart by a codec: its codes, and the sound of each source."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.sound.levels import accompaniment_gain
from shared.sound.samples import Samples


@dataclass(frozen=True, eq=False)
class CodedMixture:
    """A mixture as codes `[S, H, T]`, encoded at the agreed level (shared/sound/levels.py)."""

    codec: Codec
    codes: npt.NDArray[np.uint16]
    gain: float
    num_samples: int

    @classmethod
    def encode(cls, mixture: Samples, codec: Codec) -> "CodedMixture":
        """Encode a mixture `[2, N]` at the codec's sample rate."""
        gain = accompaniment_gain(mixture)
        codes = codec.encode(mixture * np.float32(gain))
        return cls(codec, codes, gain, mixture.shape[-1])

    def decode(self, sources: Sequence[str]) -> Samples:
        """The named sources together `[2, N]`, at the mixture's level."""
        decoded = self.codec.decode(self.codes, self.num_samples, sources)
        return decoded / np.float32(self.gain)

    def decode_each(self) -> Samples:
        """Every source by itself `[S, 2, N]`."""
        return np.stack([self.decode([source]) for source in self.codec.sources])
