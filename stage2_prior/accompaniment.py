"""Prepare a song for the prior: take its bass out, and find the level to encode it at."""

from dataclasses import dataclass

import numpy as np

from shared.codes.codec import Codec
from shared.sound.channels import Channels
from shared.sound.levels import accompaniment_gain
from shared.sound.samples import Samples, rms
from shared.sound.separation import CodedMixture, separate_mixture
from shared.sources import BASS


@dataclass(frozen=True, eq=False)
class PreparedSong:
    """A song without its bass, at the codec's sample rate and the song's own level.

    Attributes:
        accompaniment: the song without its bass `[2, N]`.
        bass: the bass that was taken out `[2, N]`; None where nothing was taken out.
        heard: the accompaniment `[2, N]` as it is encoded, with its channels in their usual form
            (shared/sound/channels.py) and at the level of all songs (shared/sound/levels.py).
        gain: what the level of the accompaniment was multiplied by for that.
    """

    accompaniment: Samples
    bass: Samples | None
    heard: Samples
    gain: float


def prepare_song(mixture: Samples, codec: Codec, remove_bass: bool | None) -> PreparedSong:
    """Take the bass out of a mixture.

    Args:
        mixture: the song `[2, N]` at the codec's sample rate.
        codec: the codec that separates the sources.
        remove_bass: True takes the bass out however soft it is, False leaves it in, and None takes
            it out if it is as loud as the codec's `audible_bass` says.
    """
    channels = Channels.of(mixture)
    found = None
    if remove_bass is not False:
        found = _find_bass(channels.usual, codec, always=bool(remove_bass))
    heard = channels.usual if found is None else channels.usual - found
    gain = accompaniment_gain(heard)
    bass = None if found is None else channels.restore(found)
    accompaniment = mixture if bass is None else mixture - bass
    return PreparedSong(accompaniment, bass, heard * np.float32(gain), gain)


def _find_bass(mixture: Samples, codec: Codec, always: bool) -> Samples | None:
    """Estimate the bass of a mixture.

    Returns:
        The bass `[2, N]`. None for a silent mixture, and, unless `always`, for a bass that is too
        soft to count.
    """
    if not np.any(mixture):
        return None
    bass = codec.sources[BASS]
    if not always:
        decoded = CodedMixture.encode(mixture, codec).decode([bass])
        if rms(decoded) <= codec.audible_bass * rms(mixture):
            return None
    return separate_mixture(mixture, codec, [bass])[0]
