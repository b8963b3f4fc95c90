"""The sources of a mixture by a codec: its codes and their sound, or estimates by masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shared.codes.codec import Codec, Codes
from shared.sound.channels import Channels
from shared.sound.levels import accompaniment_gain
from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples, scaled


def separate_mixture(
    mixture: SlicedSamples, codec: Codec, sources: Sequence[str] | None = None
) -> Samples:
    """Estimate sources of a mixture `[2, N]` as `Codec.separate` does.

    The estimates have the mixture's own level and the form of its channels (channels.py), and do
    not depend on them otherwise.
    """
    return np.concatenate([*separate_mixture_blocks(mixture, codec, sources)], axis=-1)


def separate_mixture_blocks(
    mixture: SlicedSamples, codec: Codec, sources: Sequence[str] | None = None
) -> Iterator[Samples]:
    """Separate as `separate_mixture` does, block after block `[S, 2, n]`."""
    channels = Channels.of(mixture)
    gain = np.float32(accompaniment_gain(channels.usual))
    for block in codec.separate_blocks(scaled(channels.usual, gain), sources):
        yield channels.restore(block / gain)


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
    def encode(cls, mixture: SlicedSamples, codec: Codec) -> "CodedMixture":
        """Encode a mixture `[2, N]` at the codec's sample rate."""
        channels = Channels.of(mixture)
        gain = accompaniment_gain(channels.usual)
        codes = codec.encode(scaled(channels.usual, np.float32(gain)))
        return cls(codec, codes, channels, gain)

    @property
    def num_samples(self) -> int:
        """The length of the mixture."""
        return self.channels.usual.shape[-1]

    def decode(self, sources: Sequence[str]) -> Samples:
        """Decode the named sources together to `[2, N]`."""
        return np.concatenate([*self.decode_blocks(sources)], axis=-1)

    def decode_blocks(self, sources: Sequence[str]) -> Iterator[Samples]:
        """Decode as `decode` does, block after block `[2, n]`."""
        for block in self.codec.decode_blocks(self.codes, self.num_samples, sources):
            yield self.channels.restore(block / np.float32(self.gain))

    def separate(self, sources: Sequence[str]) -> Samples:
        """Estimate the named sources as `separate_mixture` does, without encoding again."""
        return np.concatenate([*self.separate_blocks(sources)], axis=-1)

    def separate_blocks(self, sources: Sequence[str]) -> Iterator[Samples]:
        """Separate as `separate` does, block after block `[S, 2, n]`."""
        gain = np.float32(self.gain)
        mixture = scaled(self.channels.usual, gain)
        for block in self.codec.separate_blocks(mixture, sources, self.codes):
            yield self.channels.restore(block / gain)

    def decode_each(self) -> Samples:
        """Decode every source by itself to `[S, 2, N]`."""
        names = self.codec.sources
        decoded = np.empty((len(names), 2, self.num_samples), np.float32)
        for index, name in enumerate(names):
            decoded[index] = self.decode([name])
        return decoded
