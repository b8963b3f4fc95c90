"""A song as the prior hears it: without its own bass, at the codec's rate, at the agreed level."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.codec import Codec
from shared.levels import accompaniment_gain
from shared.masking import mask_song
from shared.sources import BASS

AUDIBLE_BASS = 0.1  # of the song's RMS, -20 dB: what is below is other sources' leakage

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeardSong:
    """accompaniment: the song without its bass `[2, N]`, at the codec's sample rate.
    bass: what was taken out of it, likewise; None where nothing was.
    gain: what `accompaniment` is multiplied by before it is encoded (shared/levels.py).
    """

    accompaniment: Samples
    bass: Samples | None
    gain: float


def listen(mixture: Samples, codec: Codec, remove_bass: bool | None) -> HeardSong:
    """Take the bass out of a mixture `[2, N]` at the codec's sample rate.

    remove_bass: None lets the song decide. Where the bass that is found in it is too quiet to be
        one, nothing is taken out.
    """
    bass = None if remove_bass is False else separate_bass(mixture, codec)
    if bass is not None and remove_bass is None and rms(bass) <= AUDIBLE_BASS * rms(mixture):
        bass = None
    accompaniment = mixture if bass is None else mixture - bass
    return HeardSong(accompaniment, bass, accompaniment_gain(accompaniment))


def separate_bass(mixture: Samples, codec: Codec) -> Samples:
    """The bass in a mixture `[2, N]`: the codec's sources, decoded, as a mask on the mixture."""
    gain = accompaniment_gain(mixture)
    scaled = mixture * np.float32(gain)
    codes, length = codec.encode(scaled), mixture.shape[-1]
    decoded = np.stack([codec.decode(codes, length, [source]) for source in codec.sources])
    return mask_song(scaled, decoded).estimates[BASS] / np.float32(gain)


def rms(samples: Samples) -> float:
    """Root mean square, full scale 1.0."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if samples.size else 0.0
