"""The models of the worker: who hears a song, and who composes and performs its bass."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.codes.bass_decoder import BassDecoder
from shared.codes.codec import Codec
from stage2_prior.bass_sound import BassSound, choose_sound
from stage2_prior.model import Prior
from stage2_prior.studio.options import SOUNDS


@dataclass(frozen=True, eq=False)
class Band:
    """Models that are loaded once.

    Attributes:
        codec: the codec.
        prior: a prior in eval mode, of this codec.
        find_decoder: returns the bass decoder of this codec, or None where there is none.
    """

    codec: Codec
    prior: Prior
    find_decoder: Callable[[], BassDecoder | None]

    def sound(self, name: str) -> BassSound:
        """Return what renders a line: one of SOUNDS."""
        from shared.band.recording.render import default_soundfont

        wanted = SOUNDS[name]
        if isinstance(wanted, int):
            wanted = f"{default_soundfont()}:{wanted}"
        return choose_sound(wanted, self.codec, self.find_decoder)
