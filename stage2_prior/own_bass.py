"""What a song's own bass tells of its harmony, before it is replaced.

The listener only hears the song without its bass, as in training. The bass that was taken out tells
more clearly which notes are the lowest of the harmony. The probabilities of both are multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bass_pitch_classes import bass_pitch_classes
from shared.music.chord_posterior import multiply_experts
from shared.music.yin_pitch import Floats, yin_pitch
from shared.sound.sliced import SlicedSamples
from stage2_prior.composer.features import PITCH, PITCH_CLASS, ROOT, Hearing, blocks_of_rows

# A note of the bass counts where it sounds. A root counts for longer, because chords are longer
# than notes. The weights and times were chosen on MIDI songs with their bass (docs/experiments.md).
NOTE_SECONDS, ROOT_SECONDS = 0.1, 0.5
NOTE_WEIGHT, ROOT_WEIGHT = 1.5, 1.0

_Table = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OwnBass:
    """The pitch of a song's own bass.

    Attributes:
        times: at even distances from 0 on, in seconds `[K]`.
        pitch: its pitch at these times, as MIDI numbers; nan where it is quiet `[K]`.
    """

    times: Floats
    pitch: Floats

    @classmethod
    def of(cls, bass: SlicedSamples, sample_rate: int) -> OwnBass:
        """Listen to a bass `[2, N]` that was taken out of a song."""
        return cls(*yin_pitch(bass, sample_rate))

    def multiply_into(self, hearing: Hearing) -> None:
        """Multiply what the listener hears of notes and roots with what is heard in the bass.

        How probable it is that the new bass rests stays as it is. The features of `hearing` are
        changed in place, because a copy of those of a song of hours takes 0.1 GB.
        """
        for heard, root in self._beside(hearing, ROOT_SECONDS):
            heard[:, ROOT] = multiply_experts(heard[:, ROOT], root, ROOT_WEIGHT)
        for heard, note in self._beside(hearing, NOTE_SECONDS):
            pitches = heard[:, PITCH]
            sounding = pitches.sum(1, keepdims=True)
            named = multiply_experts(pitches, note[:, PITCH_CLASS], NOTE_WEIGHT)
            heard[:, PITCH] = sounding * named

    def _beside(self, hearing: Hearing, seconds: float) -> Iterator[tuple[_Table, _Table]]:
        """Return views of the features, block by block, and the pitch classes of the same frames.

        The probabilities of the pitch classes `[F, 12]` are averaged over so many seconds.
        """
        features = hearing.features
        classes = bass_pitch_classes(
            self.times, self.pitch, len(features), hearing.frame_rate, seconds
        )
        yield from zip(blocks_of_rows(features), blocks_of_rows(classes), strict=True)
