"""Write a bass line for a song: hear it, find its bars, compose the notes, and perform them."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import require
from shared.music.bar_grid import STEPS, BarGrid
from shared.music.bar_tracking import BarHints
from shared.music.chord import Chord
from shared.music.chord_posterior import harmony_on_grid
from shared.music.notes import Note, NoteVocabulary, notes_to_tokens, tokens_to_notes
from shared.seeds import LARGEST_SEED
from stage2_prior.chord_line import limits_on_grid
from stage2_prior.composer.features import Floats, pitch_classes
from stage2_prior.composer.grid_notes import GridNotes
from stage2_prior.composer.sampling import E1, G3, Rules, compose
from stage2_prior.harmony import Harmony, HarmonySource
from stage2_prior.heard_song import SongEvidence, hear_song
from stage2_prior.model import Prior
from stage2_prior.performance import Checked, Listening, Score, play_line
from stage2_prior.performer.sampling import FREE
from stage2_prior.performer.score import loudness_of
from stage2_prior.performer.tone import UNKNOWN_TONE
from stage2_prior.sampling_defaults import SamplingDefaults

Codes = npt.NDArray[np.integer]

# How strongly what is heard weighs the choice of a pitch, beside what the composer has learned.
# These are the factors of the logarithms of each pitch class's share of the chord, of its
# probability as a note of the bass, and, where a bar begins, of its probability as the root.
CHORD_LEANING, NOTE_LEANING, ROOT_LEANING = 0.3, 0.5, 0.5
LEAST_HEARD = 0.01  # a pitch class that is less probable counts as being so probable
FEWER_RESTS = 0.5  # nats; the listener hears too many rests in songs that are unlike its own
MOST_RESTS = 0.4  # the mean probability of rests in a song, at most; few basses rest so long
MOST_CANDIDATES = 1024  # all are composed at once, and what they have in memory grows with them


@dataclass(frozen=True)
class SamplingSettings(SamplingDefaults):
    """How to write a line.

    Attributes:
        source_guidance: guidance by single sources of the accompaniment: what the listener hears
            changes as if the source were so many times as telling; 1 changes nothing.
        seed: the seed of the random numbers.
        candidates: how many lines to compose. The one that fits the song best is performed.

    Raises:
        UserError: a value is out of range.
    """

    source_guidance: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    candidates: int = 16

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        for source, scale in self.source_guidance.items():
            require(
                math.isfinite(scale),
                f"the guidance by {source} is {scale}, but it must be a finite number",
            )
        require(
            0 <= self.seed <= LARGEST_SEED,
            f"the seed is {self.seed}, but it must be from 0 to {LARGEST_SEED}",
        )
        require(
            1 <= self.candidates <= MOST_CANDIDATES,
            f"{self.candidates} candidates are asked for: give a number from 1 to "
            f"{MOST_CANDIDATES}",
        )

    @classmethod
    def of(cls, prior: Prior, **given: Any) -> "SamplingSettings":
        """Take the settings that were tuned for a prior, and replace those that are given.

        Args:
            prior: the prior, whose checkpoint holds the tuned settings.
            **given: settings by name; those that are None keep the tuned value.

        Raises:
            UserError: a value is out of range.
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        return cls(**(asdict(prior.sampling) | chosen))


@dataclass(frozen=True, eq=False)
class Wishes:
    """What the user wants of a line.

    Attributes:
        hints: what is known of the bars.
        harmony: where the chords come from.
        lowest: the lowest pitch, as a MIDI number.
        highest: the highest pitch.
        tone: the tone (performer/tone.py).
        fixed: note tokens and codes `[1 + H, T]` that are given; FREE where they are to be written.
            None gives nothing.
        lead: note tokens and codes `[1 + H, L]` of a bass that the line continues, or None.
    """

    hints: BarHints = field(default_factory=BarHints)
    harmony: Harmony = field(default_factory=Harmony)
    lowest: int = E1
    highest: int = G3
    tone: int = UNKNOWN_TONE
    fixed: Codes | None = None
    lead: Codes | None = None


@dataclass(frozen=True, eq=False)
class GeneratedBass:
    """A line and what it was written on.

    Attributes:
        codes: the codes of the bass `[H, T]`.
        notes: its note tokens `[T]`.
        played: its notes in seconds, with their loudness as velocities.
        grid: the beats and bars of the song.
        chords: the chords that were heard, or that the user gave.
        fits: how well each candidate agrees with what is heard, the best first (agreement.py).
        log_prob_conditional: log-probability in nats of the composed notes, given the song.
        log_prob_unconditional: the same without what was heard.
        seconds: how long it took.
        checked: how well the codes sound like the notes; None where nobody listened.
        rank: the place of the line among all candidates; 0 is the one that fits best.
    """

    codes: npt.NDArray[np.uint16]
    notes: npt.NDArray[np.uint8]
    played: tuple[Note, ...]
    grid: BarGrid
    chords: tuple[Chord, ...]
    fits: tuple[float, ...]
    log_prob_conditional: float
    log_prob_unconditional: float
    seconds: float
    checked: Checked | None = None
    rank: int = 0


def generate(
    prior: Prior,
    accompaniment: Codes,
    settings: SamplingSettings,
    wishes: Wishes | None = None,
    evidence: SongEvidence | None = None,
    listening: Listening | None = None,
) -> GeneratedBass:
    """Write the bass line that fits the song best: the first one of `generate_all`."""
    return next(generate_all(prior, accompaniment, settings, wishes, evidence, listening))


def generate_all(
    prior: Prior,
    accompaniment: Codes,
    settings: SamplingSettings,
    wishes: Wishes | None = None,
    evidence: SongEvidence | None = None,
    listening: Listening | None = None,
) -> Iterator[GeneratedBass]:
    """Compose all candidates, and perform one after the other, the one that fits best first.

    Args:
        prior: a prior in eval mode.
        accompaniment: codes `[S, H, T]`; `prior.listener.dropped` in all codebooks of a source that
            must not be heard.
        settings: how to sample.
        wishes: what the user wants of the line.
        evidence: what is known of the song beside its codes.
        listening: how the line can be heard, to play phrases again that have wrong notes. Without
            it, nobody listens.

    Raises:
        UserError: an array or a setting does not fit the prior, or the wishes exclude each other.
    """
    started = time.monotonic()
    wishes, evidence = wishes or Wishes(), evidence or SongEvidence()
    _check_accompaniment(prior, accompaniment)
    frames, rate = accompaniment.shape[2], prior.format.frame_rate
    fixed = np.full((1 + prior.format.codebooks, frames), FREE)
    if wishes.fixed is not None:
        _check_fixed(wishes.fixed, fixed.shape)
        fixed = wishes.fixed
    heard = hear_song(
        prior.listener, accompaniment, evidence, wishes.hints, settings.source_guidance
    )
    grid = heard.grid
    chords = wishes.harmony.given_chords(grid, frames / rate)
    heard_chords = chords is None
    if chords is None:
        chords = heard.chords()
    fewer_rests = max(FEWER_RESTS, heard.hearing.nats_for_rests(MOST_RESTS))
    hearing = heard.hearing.with_fewer_rests(fewer_rests)
    del heard  # a song of hours takes much memory frame by frame, and from here on it is not needed
    features = hearing.on_grid(grid)
    del hearing
    given = _Given.of(fixed[0], grid, rate)
    rules = Rules.of_range(grid.positions, wishes.lowest, wishes.highest)
    if not heard_chords:
        limits = limits_on_grid(chords, grid)
        rules = rules.with_chords(limits.pitch_classes, limits.must_begin)
    elif wishes.harmony.source is HarmonySource.AUTO:
        rules = rules.leaning_to(_leaning(features, chords, grid))
    position = np.arange(grid.positions)
    frame = np.round(grid.time_of(position) * rate)
    # The first chord may open on the beat just before the song begins.
    begun = (frame >= 0) | rules.must_begin
    end = frames / rate if evidence.end is None else evidence.end
    lasts = (frame < frames) & (position < np.round(grid.position_of(end)))
    rules = rules.with_given(given.on_grid, given.open & begun & lasts)
    lines = compose(
        prior.composer,
        features,
        grid,
        rules,
        settings,
        settings.candidates,
        settings.seed,
    )
    for rank, line in enumerate(lines):
        played = given.with_free_notes(line.notes, grid)
        tokens = np.where(fixed[0] == FREE, notes_to_tokens(played, frames, rate), fixed[0])
        performance = play_line(
            prior.performer,
            Score(
                notes=tokens,
                loudness=loudness_of(played, frames, rate),
                fixed=fixed[1:],
                tone=wishes.tone,
                lead=wishes.lead,
            ),
            settings,
            settings.seed,
            listening,
        )
        yield GeneratedBass(
            codes=performance.codes,
            notes=tokens.astype(np.uint8),
            played=tuple(played),
            grid=grid,
            chords=chords,
            fits=tuple(each.fit for each in lines),
            log_prob_conditional=line.log_prob,
            log_prob_unconditional=line.log_prob_alone,
            seconds=time.monotonic() - started,
            checked=performance.checked,
            rank=rank,
        )


def _leaning(features: Floats, chords: tuple[Chord, ...], grid: BarGrid) -> Floats:
    """Return what is added to the logits of each pitch class at each position `[P, 12]`."""
    harmony = harmony_on_grid(chords, grid)
    notes = pitch_classes(features) + LEAST_HEARD
    leaning = CHORD_LEANING * np.log(harmony.tones)
    leaning += NOTE_LEANING * np.log(notes / notes.sum(1, keepdims=True))
    bars = STEPS * grid.bar_starts
    bars = bars[bars < grid.positions]
    leaning[bars] += ROOT_LEANING * np.log(harmony.roots[bars])
    return leaning.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Given:
    """The notes that the user gives.

    Attributes:
        notes: the notes.
        on_grid: the same on the grid of P positions.
        open: the positions at which no note is given and none is forbidden `[P]`.
    """

    notes: tuple[Note, ...]
    on_grid: GridNotes
    open: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, tokens: Codes, grid: BarGrid, frame_rate: float) -> "_Given":
        """Read note tokens `[T]`, which are FREE where no note is given."""
        given = tokens != FREE
        notes = tokens_to_notes(np.where(given, tokens, NoteVocabulary.REST), frame_rate)
        frame = np.round(grid.time_of(np.arange(grid.positions)) * frame_rate).astype(int)
        open_ = ~given[frame.clip(0, len(tokens) - 1)]
        on_grid = GridNotes.quantise(notes, grid)
        # A note at the edge may have moved into the part that is free.
        return cls(tuple(notes), on_grid.select(~open_[on_grid.onset]), open_)

    def with_free_notes(self, composed: GridNotes, grid: BarGrid) -> list[Note]:
        """Return these notes and those that were composed where the line is free, in order."""
        free = composed.select(self.open[composed.onset]).played(grid)
        return sorted([*self.notes, *free], key=lambda note: note.onset)


def _check_accompaniment(prior: Prior, accompaniment: Codes) -> None:
    dropped = prior.listener.dropped
    expected = (len(prior.format.sources), prior.format.codebooks)
    require(
        accompaniment.ndim == 3 and accompaniment.shape[:2] == expected,
        f"the accompaniment's codes have the shape {list(accompaniment.shape)}, but the prior "
        f"reads [{expected[0]}, {expected[1]}, frames]: use its own codec",
    )
    require(accompaniment.shape[2] > 0, "the accompaniment has no frames: give a longer song")
    require(
        accompaniment.min() >= 0 and accompaniment.max() <= dropped,
        f"the accompaniment's codes must lie in 0..{dropped - 1}: use the prior's own codec",
    )


def _check_fixed(fixed: Codes, shape: tuple[int, ...]) -> None:
    require(
        fixed.shape == shape,
        f"the given bass has the shape {list(fixed.shape)}, but this song needs {list(shape)}",
    )
    require(
        bool(((fixed[0] >= FREE) & (fixed[0] < NoteVocabulary.size)).all()),
        "the given bass holds notes that the prior does not know: use its own codec",
    )
