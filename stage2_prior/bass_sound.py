"""Turn the codes of a bass line into sound."""

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.sound.samples import Samples
from shared.sources import BASS
from stage2_prior.articulation import articulate


def decoded_bass(
    codes: npt.NDArray[np.uint16], num_samples: int, gain: float, codec: Codec
) -> Samples:
    """Decode bass codes `[H, T]` to audio `[2, num_samples]` at the codec's sample rate.

    Args:
        codes: the codes of the bass.
        num_samples: the length of the audio.
        gain: what the song was multiplied by before it was encoded; the audio is divided by it.
        codec: the codec that made the codes.
    """
    every = np.zeros((len(codec.sources), *codes.shape), np.uint16)
    every[BASS] = codes
    return codec.decode(every, num_samples, [codec.sources[BASS]]) / np.float32(gain)


def bass_sound(
    codes: npt.NDArray[np.uint16],
    notes: npt.NDArray[np.integer],
    num_samples: int,
    gain: float,
    codec: Codec,
) -> Samples:
    """Decode bass codes as `decoded_bass` does, and shape the attacks by the note tokens `[T]`."""
    decoded = decoded_bass(codes, num_samples, gain, codec)
    return articulate(decoded, notes, codec.sample_rate, codec.hop)
