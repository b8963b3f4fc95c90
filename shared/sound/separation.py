"""The sources of a mixture by a codec: its codes and their sound, or estimates by masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.codes.codec import Codec, Codes
from shared.sound.channels import Channels
from shared.sound.levels import accompaniment_gain
from shared.sound.samples import Samples


def separate_mixture(
    mixture: Samples, codec: Codec, sources: Sequence[str] | None = None
) -> Samples:
    """Estimate sources of a mixture `[2, N]` as `Codec.separate` does.

    The estimates have the mixture's own level and the form of its channels (channels.py), and do
    not depend on them otherwise.
    """
    channels = Channels.of(mixture)
    gain = np.float32(accompaniment_gain(channels.usual))
    return channels.restore(codec.separate(channels.usual * gain, sources) / gain)


@dataclass(frozen=True, eq=False)
class CodedMixture:
    """A mixture as codes.

    What is decoded has the mixture's own level and the form of its channels (channels.py).

    Attributes:
        codec: the codec that made the codes.
        codes: `[S, H, T]`.
        channels: the mixture `[2, N]` at the codec's sample rate.
        gain: what the mixture was multiplied by before it was encoded (shared/sound/levels.py).
    """

    codec: Codec
    codes: Codes
    channels: Channels
    gain: float

    @classmethod
    def encode(cls, mixture: Samples, codec: Codec) -> "CodedMixture":
        """Encode a mixture `[2, N]` at the codec's sample rate."""
        channels = Channels.of(mixture)
        gain = accompaniment_gain(channels.usual)
        codes = codec.encode(channels.usual * np.float32(gain))
        return cls(codec, codes, channels, gain)

    @property
    def num_samples(self) -> int:
        """The length of the mixture."""
        return self.channels.usual.shape[-1]

    def decode(self, sources: Sequence[str]) -> Samples:
        """Decode the named sources together to `[2, N]`."""
        decoded = self.codec.decode(self.codes, self.num_samples, sources)
        return self.channels.restore(decoded / np.float32(self.gain))

    def separate(self, sources: Sequence[str]) -> Samples:
        """Estimate the named sources as `separate_mixture` does, without encoding again."""
        scaled = self.channels.usual * np.float32(self.gain)
        estimates = self.codec.separate(scaled, sources, self.codes)
        return self.channels.restore(estimates / np.float32(self.gain))

    def decode_each(self) -> Samples:
        """Decode every source by itself to `[S, 2, N]`."""
        names = self.codec.sources
        decoded = np.empty((len(names), 2, self.num_samples), np.float32)
        for index, name in enumerate(names):
            decoded[index] = self.decode([name])
        return decoded
