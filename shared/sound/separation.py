"""The sources of a mixture by a codec: its codes and their sound, or estimates by masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.sound.channels import Channels
from shared.sound.levels import accompaniment_gain
from shared.sound.samples import Samples


def separate_mixture(
    mixture: Samples, codec: Codec, sources: Sequence[str] | None = None
) -> Samples:
    """Estimate the named sources (None: all) of a mixture `[2, N]`, as `[S, 2, N]`.

    The estimates have the mixture's own level and the form of its channels (channels.py), and do
    not depend on them otherwise.
    """
    channels = Channels.of(mixture)
    gain = np.float32(accompaniment_gain(channels.usual))
    return channels.restore(codec.separate(channels.usual * gain, sources) / gain)


@dataclass(frozen=True, eq=False)
class CodedMixture:
    """A mixture as codes.

    Attributes:
        codec: the codec that made the codes.
        codes: `[S, H, T]`.
        gain: what the mixture was multiplied by before it was encoded (shared/sound/levels.py).
        num_samples: the length of the mixture at the codec's sample rate.
    """

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
        """Decode the named sources together to `[2, N]`, at the mixture's own level."""
        decoded = self.codec.decode(self.codes, self.num_samples, sources)
        return decoded / np.float32(self.gain)

    def decode_each(self) -> Samples:
        """Decode every source by itself to `[S, 2, N]`, at the mixture's own level."""
        names = self.codec.sources
        decoded = np.empty((len(names), 2, self.num_samples), np.float32)
        for index, name in enumerate(names):
            decoded[index] = self.decode([name])
        return decoded
