"""Sample bass lines for clips, and turn them into sound."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.codes.codec import Codec
from shared.codes.song_codes import SongCodes
from shared.music.bar_grid import BarGrid
from shared.music.known_grid import grid_of_facts
from shared.music.notes import Note, notes_to_tokens
from shared.sound.samples import Samples
from stage2_prior.balance import balance_gain
from stage2_prior.bass_sound import BassSound, decoded_bass
from stage2_prior.clips import Clip, MixedClip
from stage2_prior.composer.features import listen
from stage2_prior.harmony import Harmony
from stage2_prior.heard_song import SongEvidence, find_bars
from stage2_prior.line_sound import listening
from stage2_prior.model import Prior
from stage2_prior.performance import Listening, Score, play_line
from stage2_prior.performer.sampling import FREE
from stage2_prior.performer.score import loudness_of
from stage2_prior.sampling import GeneratedBass, SamplingSettings, Wishes, generate


@dataclass(frozen=True, eq=False)
class ClipLine:
    """A line that was sampled for a clip.

    Attributes:
        line: notes and codes.
        gain: what the accompaniment was multiplied by before it was encoded.
    """

    line: GeneratedBass
    gain: float


@dataclass(frozen=True, eq=False)
class HeardLine:
    """A bass line for a clip, as it is heard.

    Attributes:
        sound: audio `[2, num_samples]`.
        notes: its notes in seconds from the beginning of the clip; None where they are not known.
    """

    sound: Samples
    notes: Sequence[Note] | None


@dataclass(frozen=True, eq=False)
class ClipSampler:
    """Samples lines for clips, and renders them as `generate-bass` does.

    Attributes:
        codec: the codec of the clips.
        prior: the prior that is evaluated.
        settings: how to sample. The number of a clip is added to the seed.
        rendering: how lines become sound.
    """

    codec: Codec
    prior: Prior
    settings: SamplingSettings
    rendering: BassSound

    def sample(
        self,
        clip: Clip,
        fixed: npt.NDArray[np.int64] | None = None,
        mixed: MixedClip | None = None,
        harmony: Harmony | None = None,
        **changes: Any,
    ) -> ClipLine:
        """Sample a line for a clip.

        Args:
            clip: the clip.
            fixed: note tokens and codes `[1 + H, frames]` that are given; FREE where not.
            mixed: the mixture to take the accompaniment and the song's own bass from, instead of
                the true accompaniment.
            harmony: where the chords come from that weigh the notes; they are heard by default.
            **changes: settings that differ from `settings`.
        """
        settings = replace(self.settings, **{"seed": self.settings.seed + clip.number, **changes})
        given = clip if mixed is None else mixed
        wishes = Wishes(fixed=fixed, harmony=harmony or Harmony())
        known = SongEvidence(own_bass=None if mixed is None else mixed.own_bass)
        heard = self._listening(clip)
        line = generate(self.prior, given.accompaniment, settings, wishes, known, heard)
        return ClipLine(line, clip.song.gain if mixed is None else mixed.gain)

    def perform(self, clip: Clip, notes: Sequence[Note]) -> HeardLine:
        """Let the performer play notes in a clip, at a level beside its song.

        Args:
            clip: the clip.
            notes: in seconds from the beginning of the clip.
        """
        rate = clip.song.frame_rate
        within = [note for note in notes if 0 <= note.onset < clip.seconds]
        tokens = notes_to_tokens(within, clip.frames, rate)
        score = Score(
            notes=tokens.astype(np.int64),
            loudness=loudness_of(within, clip.frames, rate),
            fixed=self.nothing_fixed(clip)[1:],
        )
        seed = self.settings.seed + clip.number
        played = play_line(self.prior.performer, score, self.settings, seed, self._listening(clip))
        return HeardLine(self._at_level(clip, played.codes, tokens), within)

    def render(self, clip: Clip, codes: npt.NDArray[np.uint16]) -> HeardLine:
        """Render codes `[H, frames]` without known notes in a clip, at a level beside its song."""
        return HeardLine(self._at_level(clip, codes, np.full(clip.frames, FREE)), None)

    def _at_level(
        self, clip: Clip, codes: npt.NDArray[np.uint16], notes: npt.NDArray[np.integer]
    ) -> Samples:
        gain = clip.song.gain
        sound = self.rendering.render(codes, notes, clip.num_samples) / np.float32(gain)
        return sound * np.float32(balance_gain(sound, notes, gain, self.prior.balance))

    def bars_of(self, song: SongCodes) -> BarGrid:
        """Return the bars of a whole song from song.json, or else those that are heard."""
        known = grid_of_facts(song.facts, song.duration)
        return known or find_bars(listen(self.prior.listener, song.view("accompaniment")))

    def _listening(self, clip: Clip) -> Listening:
        return listening(self.codec, clip.num_samples)

    def nothing_fixed(self, clip: Clip) -> npt.NDArray[np.int64]:
        """Return tokens for `fixed` in which everything is to be sampled."""
        return np.full((1 + self.codec.num_codebooks, clip.frames), FREE)

    def sound(self, clip: Clip, sampled: ClipLine) -> Samples:
        """Render a line `[2, num_samples]` at the level that its codes have."""
        sound = self.rendering.render(sampled.line.codes, sampled.line.notes, clip.num_samples)
        return sound / np.float32(sampled.gain)

    def balanced_sound(self, clip: Clip, sampled: ClipLine) -> Samples:
        """Render a line `[2, num_samples]` as `generate-bass` does, at a level beside its song."""
        sound = self.sound(clip, sampled)
        gain = balance_gain(sound, sampled.line.notes, sampled.gain, self.prior.balance)
        return sound * np.float32(gain)

    def heard(self, clip: Clip, sampled: ClipLine) -> HeardLine:
        """Return a sampled line as `generate-bass` renders it, with its notes."""
        return HeardLine(self.balanced_sound(clip, sampled), sampled.line.played)

    def true_sound(self, clip: Clip) -> Samples:
        """Render the true bass from its codes and notes `[2, num_samples]`."""
        sound = self.rendering.render(clip.bass, clip.notes, clip.num_samples)
        return sound / np.float32(clip.song.gain)

    def decoded_true_bass(self, clip: Clip) -> Samples:
        """Decode the true bass `[2, num_samples]` without shaping its attacks."""
        return decoded_bass(clip.bass, clip.num_samples, clip.song.gain, self.codec)
