"""Measure one clip: what a prior generates for it, and the lines that this is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bass_metrics import FRAME_RATE, BassFigures, judge_bass, pitch_class_share
from shared.music.beat_metrics import beat_f1
from shared.music.line_form import UNKNOWN_FORM, LineForm, measure_form
from shared.music.notes import NoteVocabulary, tokens_to_notes
from shared.music.pitch import track_pitch
from shared.sound.samples import Samples
from stage2_prior.clip_sampler import ClipLine, ClipSampler, HeardLine
from stage2_prior.clips import Clip
from stage2_prior.frechet import embed
from stage2_prior.prior_report import TRUE_FROM_CODES

PROMPT_SECONDS = 4.0
SECOND_SEED = 100_003  # added to the seed of a clip for a second line
BAR_SECONDS = 2.0  # the assumed length of a bar where no downbeats are known


@dataclass(frozen=True, eq=False)
class JudgedLine:
    """What was measured of one bass line.

    Attributes:
        figures: how well its sound fits the song.
        form: the form of its notes; nan where its notes are not known.
        embedding: its embedding (frechet.py) `[seconds, BANDS]`.
    """

    figures: BassFigures
    form: LineForm
    embedding: npt.NDArray[np.float64]

    @property
    def values(self) -> dict[str, float]:
        """All figures by name."""
        return {name: float(value) for name, value in asdict(self.figures).items()} | asdict(
            self.form
        )


def judge(audio: Samples, clip: Clip, skip: float = 0.0) -> BassFigures:
    """Judge the sound `[2, N]` of a bass line in a clip, without its first `skip` seconds."""
    rate = clip.song.sample_rate
    return judge_bass(audio[:, round(skip * rate) :], rate, clip.facts, clip.start + skip)


def judge_line(line: HeardLine, clip: Clip) -> JudgedLine:
    """Judge the sound and the notes of a bass line for a clip."""
    rate = clip.song.sample_rate
    track = track_pitch(line.sound, rate, FRAME_RATE)
    known = line.notes is not None
    return JudgedLine(
        judge_bass(line.sound, rate, clip.facts, clip.start, track),
        measure_form(line.notes or (), track, clip.seconds, clip.facts, clip.start)
        if known
        else UNKNOWN_FORM,
        embed(line.sound, rate),
    )


def judge_lines(lines: Mapping[str, HeardLine], clip: Clip) -> dict[str, JudgedLine]:
    """Judge several bass lines for one clip."""
    return {name: judge_line(line, clip) for name, line in lines.items()}


def compared_lines(
    sampler: ClipSampler, clip: Clip, other: Clip, generated: Mapping[str, HeardLine]
) -> dict[str, HeardLine]:
    """Return all the bass lines of the comparison by name, from the worst to the best.

    Args:
        sampler: renders the true basses.
        clip: the clip.
        other: the clip that lends the bass of another song.
        generated: what was generated for the clip, by name.
    """
    true = sampler.true_sound(clip)
    return {
        "silence": HeardLine(np.zeros_like(true), None),
        "another song's bass": HeardLine(sampler.true_sound(other), other.true_notes),
        "true bass, a bar late": HeardLine(shifted_by_a_bar(true, clip), None),
        **generated,
        TRUE_FROM_CODES: HeardLine(true, clip.true_notes),
    }


def shifted_by_a_bar(audio: Samples, clip: Clip) -> Samples:
    """Delay audio `[2, N]` by one bar, and move its end to the beginning."""
    downbeats = clip.facts.downbeats
    bar = float(np.median(np.diff(downbeats))) if len(downbeats) > 1 else BAR_SECONDS
    return np.roll(audio, round(bar * clip.song.sample_rate), axis=1)


def bar_figures(
    clips: Sequence[Clip], lines: Sequence[ClipLine]
) -> tuple[list[float], list[float]]:
    """Return the F1 of the beats and of the downbeats that were found; nan where none are known."""
    figures: tuple[list[float], list[float]] = ([], [])
    for clip, line in zip(clips, lines, strict=True):
        duration = clip.frames / clip.song.frame_rate
        facts, grid = clip.song.facts, line.line.grid
        pairs = ((facts.beats, grid.beats), (facts.downbeats, grid.downbeats))
        for column, (true, found) in zip(figures, pairs, strict=True):
            inside = np.asarray(true) - clip.start
            inside = inside[(inside >= 0) & (inside < duration)]
            known = len(inside) > 1
            within = found[(found >= 0) & (found < duration)]
            column.append(beat_f1(within, inside) if known else float("nan"))
    return figures


def pitch_match_share(audio: Samples, notes: npt.NDArray[np.int64], clip: Clip) -> float:
    """Measure how often a sound has the pitch classes of given notes.

    Args:
        audio: the sound of a bass line `[2, N]`, whose pitch pyin tracks.
        notes: note tokens `[frames]`, FREE where they are not known.
        clip: the clip.

    Returns:
        The share of the frames with a note in which the pitch class is that of the note; nan where
        no frame has a note.
    """
    known = tokens_to_notes(np.maximum(notes, NoteVocabulary.REST), clip.song.frame_rate)
    track = track_pitch(audio, clip.song.sample_rate, clip.song.frame_rate)
    return pitch_class_share(track, known)


def codec_pitch_match(sampler: ClipSampler, clip: Clip) -> float:
    """Return how often the true bass, decoded from its codes, has the pitches of its notes."""
    return pitch_match_share(sampler.decoded_true_bass(clip), clip.notes, clip)


def given_notes_pitch_match(sampler: ClipSampler, clip: Clip, note_guidance: float) -> float:
    """Sample codes for the true notes; return how often the sound has the pitches of the notes."""
    fixed = sampler.nothing_fixed(clip)
    fixed[0] = clip.notes
    sampled = sampler.sample(clip, fixed, note_guidance=note_guidance)
    return pitch_match_share(sampler.sound(clip, sampled), clip.notes, clip)


def continuation_figures(sampler: ClipSampler, clip: Clip) -> BassFigures:
    """Give the first seconds of the true bass, and judge what is sampled after them."""
    given = round(PROMPT_SECONDS * sampler.codec.frame_rate)
    fixed = sampler.nothing_fixed(clip)
    fixed[:, :given] = np.concatenate((clip.notes[None], clip.bass))[:, :given]
    sampled = sampler.sample(clip, fixed)
    return judge(sampler.sound(clip, sampled), clip, PROMPT_SECONDS)


def guided_figures(sampler: ClipSampler, clip: Clip, guidance: float) -> BassFigures:
    """Judge a line that is sampled with another guidance."""
    return judge(sampler.balanced_sound(clip, sampler.sample(clip, guidance=guidance)), clip)


def equal_codes(sampler: ClipSampler, clip: Clip, sampled: ClipLine) -> float:
    """Sample with another seed; return the share of codes that are equal to those of `sampled`."""
    seed = sampler.settings.seed + clip.number + SECOND_SEED
    again = sampler.sample(clip, seed=seed)
    return float(np.mean(sampled.line.codes == again.line.codes))
