"""Prepare a song for the prior: take its bass out, and find the level to encode it at."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.codes.codec import Codec
from shared.sound.channels import Channels
from shared.sound.levels import accompaniment_gain
from shared.sound.samples import Samples, rms, rms_of_blocks
from shared.sound.separation import CodedMixture
from shared.sound.sliced import Derived, SlicedSamples, scaled, settled, stored
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

    accompaniment: SlicedSamples
    bass: SlicedSamples | None
    heard: SlicedSamples
    gain: float
    search: BassSearch | None
    heard_bass: SlicedSamples | None

    @property
    def found_bass(self) -> SlicedSamples | None:
        """The bass that was taken out, if a bass was found when one was looked for."""
        return self.bass if self.search is not None and self.search.found else None


def prepare_song(
    mixture: SlicedSamples, codec: Codec, remove_bass: bool | None, folder: Path | None = None
) -> PreparedSong:
    """Take the bass out of a mixture.

    Args:
        mixture: the song `[2, N]` at the codec's sample rate.
        codec: the codec that separates the sources.
        remove_bass: True takes the bass out however soft it is, False leaves it in, and None takes
            it out if there is one (bass_search.py).
        folder: where the bass of a long song is kept (`StoredSamples`).

    Raises:
        OSError: the disk is full.
    """
    channels = Channels.of(mixture)
    usual = channels.usual
    search = separated = None
    if rms(usual) > SILENCE and remove_bass is not False:
        separated, search = _find_bass(usual, codec, folder)
    removed = separated if search and (remove_bass or search.found) else None
    heard = usual if removed is None else _computed(np.subtract, usual, removed)
    gain = accompaniment_gain(heard)
    scale = np.float32(gain)
    heard = scaled(heard, scale)
    if removed is None:
        return PreparedSong(mixture, None, heard, gain, search, None)
    bass = _computed(channels.restore, removed)
    rest = _computed(np.subtract, mixture, bass)
    return PreparedSong(rest, bass, heard, gain, search, scaled(removed, scale))


def _find_bass(
    mixture: SlicedSamples, codec: Codec, folder: Path | None
) -> tuple[SlicedSamples, BassSearch]:
    """Separate the bass `[2, N]` of a mixture, and measure how much of a bass it is."""
    name = codec.sources[BASS]
    coded = CodedMixture.encode(mixture, codec)
    decoded = rms_of_blocks(coded.decode_blocks([name]))
    separated = settled(stored((each[0] for each in coded.separate_blocks([name])), 2, folder))
    return separated, search_bass(
        mixture, decoded, separated, codec.sample_rate, codec.audible_bass
    )


def _computed(compute: Callable[..., Samples], *samples: SlicedSamples) -> SlicedSamples:
    """Compute samples from others: of short songs at once, of long ones when they are read."""
    return settled(Derived(compute, *samples))
