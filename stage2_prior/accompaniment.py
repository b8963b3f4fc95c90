"""A song as the prior hears it, without its own bass and at the agreed level; and the way back to sound."""

from dataclasses import dataclass

import numpy as np

from shared.codes.codec import Codec
from shared.sound.levels import accompaniment_gain
from shared.sound.masking import mask_blocks
from shared.sound.samples import Samples, rms
from shared.sources import BASS

# Of the song's RMS. Of 18 songs not trained on, the faintest bass was at 0.22, and 13 of the songs without
# theirs lay below this. It is asked of the bass as the codec decodes it, which shrinks what it is unsure of;
# the masked one always holds some of whatever is low.
AUDIBLE_BASS = 0.18


@dataclass(frozen=True, eq=False)
class PreparedSong:
    """accompaniment: the song without its bass `[2, N]`, at the codec's sample rate.
    bass: what was taken out of it, likewise; None where nothing was.
    gain: what `accompaniment` is multiplied by before it is encoded (shared/sound/levels.py).
    """

    accompaniment: Samples
    bass: Samples | None
    gain: float


def prepare_song(mixture: Samples, codec: Codec, remove_bass: bool | None) -> PreparedSong:
    """Take the bass out of a mixture `[2, N]` at the codec's sample rate.

    remove_bass: None lets the song decide. Where the codec hears no bass in it, or hardly any,
        nothing is taken out.
    """
    bass = None if remove_bass is False else _find_bass(mixture, codec, needed=bool(remove_bass))
    accompaniment = mixture if bass is None else mixture - bass
    return PreparedSong(accompaniment, bass, accompaniment_gain(accompaniment))


def _find_bass(mixture: Samples, codec: Codec, needed: bool) -> Samples | None:
    """The bass in a mixture: the codec's sources, decoded, as a mask on the mixture.

    needed: also where there seems to be none.
    """
    if not np.any(mixture):
        return None
    gain = np.float32(accompaniment_gain(mixture))
    codes, length = codec.encode(mixture * gain), mixture.shape[-1]
    decoded = np.stack([codec.decode(codes, length, [source]) for source in codec.sources])
    if not needed and rms(decoded[BASS]) <= AUDIBLE_BASS * rms(mixture * gain):
        return None
    bass = np.empty_like(mixture)
    for block in mask_blocks(
        lambda start, stop: (mixture[:, start:stop], decoded[..., start:stop]), length
    ):
        bass[:, block.start : block.start + block.residual.shape[1]] = block.estimates[BASS]
    return bass
