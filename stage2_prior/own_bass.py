"""What a song's own bass tells of its harmony, before it is replaced.

The listener only hears the song without its bass, as in training. The bass that was taken out says
more clearly which pitch classes the harmony has below it. Both opinions are multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.music.bass_pitch_classes import bass_pitch_classes
from shared.music.chord_posterior import Probabilities, multiply_experts
from shared.sound.samples import Samples
from stage2_prior.composer.features import PITCH, PITCH_CLASS, ROOT, Hearing

# A note of the bass counts where it sounds. A root counts for longer, because chords are longer
# than notes. The weights and times were chosen on MIDI songs with their bass (docs/experiments.md).
NOTE_SECONDS, ROOT_SECONDS = 0.1, 0.5
NOTE_WEIGHT, ROOT_WEIGHT = 1.5, 1.0


@dataclass(frozen=True, eq=False)
class OwnBass:
    """What is heard in the bass of a song of T frames.

    Attributes:
        notes: probabilities of the pitch class that it plays `[T, 12]`.
        roots: the same, averaged over a longer time `[T, 12]`.
    """

    notes: Probabilities
    roots: Probabilities

    @classmethod
    def of(cls, bass: Samples, sample_rate: int, frames: int, frame_rate: float) -> OwnBass:
        """Listen to a bass `[2, N]` that was taken out of a song.

        Args:
            bass: the bass.
            sample_rate: of the bass, in Hz.
            frames: T.
            frame_rate: frames per second.
        """
        return cls(
            *(
                bass_pitch_classes(bass, sample_rate, frames, frame_rate, seconds)
                for seconds in (NOTE_SECONDS, ROOT_SECONDS)
            )
        )

    def added_to(self, hearing: Hearing) -> Hearing:
        """Multiply what the listener hears of notes and roots with what is heard in the bass.

        How probable it is that the new bass rests stays as it is.
        """
        features = hearing.features.copy()
        features[:, ROOT] = multiply_experts(features[:, ROOT], self.roots, ROOT_WEIGHT)
        pitches = features[:, PITCH]
        sounding = pitches.sum(1, keepdims=True)
        named = self.notes[:, PITCH_CLASS]
        features[:, PITCH] = sounding * multiply_experts(pitches, named, NOTE_WEIGHT)
        return replace(hearing, features=features)
