"""Prepare a song for the prior: take its bass out, and find the level to encode it at."""

from dataclasses import dataclass

import numpy as np

from shared.codes.codec import Codec
from shared.sound.channels import Channels
from shared.sound.levels import accompaniment_gain
from shared.sound.samples import Samples, rms
from shared.sound.separation import CodedMixture
from shared.sources import BASS
from stage2_prior.bass_search import BassSearch, search_bass

SILENCE = 1e-5  # RMS, -100 dBFS; a softer song has no bass


@dataclass(frozen=True, eq=False)
class PreparedSong:
    """A song without its bass, at the codec's sample rate and the song's own level.

    Attributes:
        accompaniment: the song without its bass `[2, N]`.
        bass: the bass that was taken out `[2, N]`; None where nothing was taken out.
        heard: the accompaniment `[2, N]` as it is encoded, with its channels in their usual form
            (shared/sound/channels.py) and at the level of all songs (shared/sound/levels.py).
        gain: what the level of the accompaniment was multiplied by for that.
        search: what was found when a bass was looked for; None if it was not.
        heard_bass: the bass that was taken out, in the form and at the level of `heard` `[2, N]`;
            None where nothing was taken out.
    """

    accompaniment: Samples
    bass: Samples | None
    heard: Samples
    gain: float
    search: BassSearch | None
    heard_bass: Samples | None

    @property
    def found_bass(self) -> Samples | None:
        """The bass that was taken out, if a bass was found when one was looked for."""
        return self.bass if self.search is not None and self.search.found else None


def prepare_song(mixture: Samples, codec: Codec, remove_bass: bool | None) -> PreparedSong:
    """Take the bass out of a mixture.

    Args:
        mixture: the song `[2, N]` at the codec's sample rate.
        codec: the codec that separates the sources.
        remove_bass: True takes the bass out however soft it is, False leaves it in, and None takes
            it out if there is one (bass_search.py).
    """
    channels = Channels.of(mixture)
    search = separated = None
    if rms(channels.usual) > SILENCE and remove_bass is not False:
        separated, search = _find_bass(channels.usual, codec)
    removed = separated if search and (remove_bass or search.found) else None
    heard = channels.usual if removed is None else channels.usual - removed
    gain = accompaniment_gain(heard)
    scale = np.float32(gain)
    if removed is None:
        return PreparedSong(mixture, None, heard * scale, gain, search, None)
    bass = channels.restore(removed)
    return PreparedSong(mixture - bass, bass, heard * scale, gain, search, removed * scale)


def _find_bass(mixture: Samples, codec: Codec) -> tuple[Samples, BassSearch]:
    """Separate the bass `[2, N]` of a mixture, and measure how much of a bass it is."""
    name = codec.sources[BASS]
    coded = CodedMixture.encode(mixture, codec)
    decoded, separated = coded.decode([name]), coded.separate([name])[0]
    search = search_bass(mixture, decoded, separated, codec.sample_rate, codec.audible_bass)
    return separated, search
