"""What is heard in a song: evidence from its sound, and bars and chords from that and its codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bar_grid import BarGrid
from shared.music.bar_tracking import BarHints, track_bars
from shared.music.chord import Chord
from shared.music.chord_naming import name_chords, quality_probabilities
from shared.music.chord_posterior import expert_posterior, multiply_experts
from shared.music.chord_recogniser import recognise_chords
from shared.music.onset_envelope import OnsetEnvelope, onset_envelope
from shared.sound.sliced import SlicedSamples
from stage2_prior.accompaniment import PreparedSong
from stage2_prior.balance import song_end
from stage2_prior.composer.features import (
    ROOT,
    TONES,
    Hearing,
    blocks_of_rows,
    guided_hearing,
)
from stage2_prior.listener.network import Listener
from stage2_prior.own_bass import OwnBass

RECOGNISER_TRUST = 0.7  # the probability that a chord recogniser names the right root


@dataclass(frozen=True, eq=False)
class SongEvidence:
    """What is known of a song beside its codes.

    Attributes:
        grid: its bars; None where they are to be found.
        chords: chords that a recogniser names; None where there is none.
        own_bass: the bass that was found in the song and taken out; None where there was none.
        onsets: the onsets of its sound, to which beats are moved; None where they are not known.
        end: when it has ended, in seconds, and the line with it; None where that is at its last
            frame.
    """

    grid: BarGrid | None = None
    chords: tuple[Chord, ...] | None = None
    own_bass: OwnBass | None = None
    onsets: OnsetEnvelope | None = None
    end: float | None = None

    @classmethod
    def of_sound(
        cls, song: SlicedSamples, prepared: PreparedSong, sample_rate: int, *, harmony: bool = True
    ) -> SongEvidence:
        """Look at the sound of a song for what its codes do not say.

        Args:
            song: the whole song `[2, N]`, whose bass tells the roots of its chords.
            prepared: the song without its bass.
            sample_rate: samples per second of both.
            harmony: whether to look for what tells the harmony: the song's own bass, and the chords
                that a recogniser names, if one is installed.
        """
        rest, bass = prepared.accompaniment, prepared.found_bass
        return cls(
            chords=recognise_chords(song, sample_rate) if harmony else None,
            own_bass=OwnBass.of(bass, sample_rate) if harmony and bass is not None else None,
            onsets=onset_envelope(rest, sample_rate),
            end=song_end(rest, sample_rate),
        )


@dataclass(frozen=True, eq=False)
class HeardSong:
    """A song as the listener hears it.

    Attributes:
        hearing: what the listener hears, frame by frame.
        grid: the beats and bars of the song.
    """

    hearing: Hearing
    grid: BarGrid

    def chords(self) -> tuple[Chord, ...]:
        """Name the chords of the song."""
        hearing = self.hearing
        qualities = np.concatenate(
            [
                quality_probabilities(part[:, ROOT], part[:, TONES])
                for part in blocks_of_rows(hearing.features)
            ]
        )
        return name_chords(hearing.features[:, ROOT], qualities, hearing.frame_rate, self.grid)


def hear_song(
    listener: Listener,
    accompaniment: npt.NDArray[np.integer],
    evidence: SongEvidence,
    hints: BarHints | None = None,
    guidance: Mapping[str, float] | None = None,
) -> HeardSong:
    """Hear a song, and find its bars where the evidence does not give them.

    Args:
        listener: a listener in eval mode.
        accompaniment: the codes of the song without its bass `[S, H, T]`.
        evidence: what is known of the song beside its codes.
        hints: what the user knows of the bars.
        guidance: how telling single sources are, by name (composer/features.py).

    Raises:
        UserError: there is no such source.
    """
    hearing = guided_hearing(listener, accompaniment, guidance or {})
    if evidence.chords is not None:
        _multiply_roots(hearing, evidence.chords)
    if evidence.own_bass is not None:
        evidence.own_bass.multiply_into(hearing)
    grid = evidence.grid or find_bars(hearing, hints, evidence.onsets)
    return HeardSong(hearing, grid)


def find_bars(
    hearing: Hearing, hints: BarHints | None = None, onsets: OnsetEnvelope | None = None
) -> BarGrid:
    """Find the beats and bars of a song from what the listener hears."""
    duration = len(hearing.beats) / hearing.frame_rate
    beat, downbeat = hearing.beats.T
    return track_bars(beat, downbeat, hearing.frame_rate, duration, hints, onsets)


def _multiply_roots(hearing: Hearing, chords: tuple[Chord, ...]) -> None:
    """Multiply the listener's probabilities of roots with what a chord recogniser names."""
    features = hearing.features
    named = expert_posterior(chords, len(features), hearing.frame_rate, RECOGNISER_TRUST)
    features[:, ROOT] = multiply_experts(features[:, ROOT], named, 1.0)
