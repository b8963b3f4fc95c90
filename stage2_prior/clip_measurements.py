"""Measure one clip: what a prior generates for it, and the lines that this is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.music.bass_metrics import BassFigures, judge_bass
from shared.music.notes import NoteVocabulary
from shared.music.pitch import track_pitch
from shared.sound.samples import Samples
from stage2_prior.clip_sampler import ClipLine, ClipSampler
from stage2_prior.clips import Clip
from stage2_prior.frechet import embed
from stage2_prior.prior_report import TRUE_FROM_CODES
from stage2_prior.sampling import FREE

PROMPT_SECONDS = 4.0
SECOND_SEED = 100_003  # added to the seed of a clip for a second line
BAR_SECONDS = 2.0  # the assumed length of a bar where no downbeats are known


@dataclass(frozen=True, eq=False)
class JudgedSound:
    """The figures of a bass line, and its embedding (frechet.py) `[seconds, BANDS]`."""

    figures: BassFigures
    embedding: npt.NDArray[np.float64]


def judge(audio: Samples, clip: Clip, skip: float = 0.0) -> BassFigures:
    """Judge the sound `[2, N]` of a bass line in a clip, without its first `skip` seconds."""
    rate = clip.song.sample_rate
    return judge_bass(audio[:, round(skip * rate) :], rate, clip.song.facts, clip.start + skip)


def judge_sounds(sounds: Mapping[str, Samples], clip: Clip) -> dict[str, JudgedSound]:
    """Judge several bass lines for one clip."""
    return {
        name: JudgedSound(judge(sound, clip), embed(sound, clip.song.sample_rate))
        for name, sound in sounds.items()
    }


def compared_sounds(
    sampler: ClipSampler, clip: Clip, other: Clip, lines: Mapping[str, ClipLine]
) -> dict[str, Samples]:
    """Render all the bass lines of the comparison, from the worst to the best.

    Args:
        sampler: renders the lines.
        clip: the clip.
        other: the clip that lends the bass of another song.
        lines: what was generated for the clip, by name.

    Returns:
        Audio `[2, num_samples]` by name.
    """
    true = sampler.true_sound(clip)
    return {
        "silence": np.zeros_like(true),
        "another song's bass": sampler.true_sound(other),
        "true bass, a bar late": shifted_by_a_bar(true, clip),
        **{name: sampler.balanced_sound(clip, line) for name, line in lines.items()},
        TRUE_FROM_CODES: true,
    }


def shifted_by_a_bar(audio: Samples, clip: Clip) -> Samples:
    """Delay audio `[2, N]` by one bar, and move its end to the beginning."""
    downbeats = clip.song.facts.downbeats
    bar = float(np.median(np.diff(downbeats))) if len(downbeats) > 1 else BAR_SECONDS
    return np.roll(audio, round(bar * clip.song.sample_rate), axis=1)


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
    sounding = (notes != FREE) & (notes != NoteVocabulary.REST)
    if not sounding.any():
        return float("nan")
    track = track_pitch(audio, clip.song.sample_rate, clip.song.frame_rate)
    times = np.arange(len(notes)) / clip.song.frame_rate
    nearest = np.abs(track.times[:, None] - times).argmin(0)
    pitch = track.pitch[nearest][sounding]
    voiced = ~np.isnan(pitch)
    pitch_class = np.round(np.nan_to_num(pitch)).astype(np.int64) % 12
    return float(np.mean(voiced & (pitch_class == NoteVocabulary.PITCH_CLASSES[notes[sounding]])))


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
