"""Evaluate a prior on songs that it was not trained on: `evaluate-prior`.

The report tests the steps of generation one by one, in the order in which failures arise: the
codec, the notes that the encoder predicts, the next code after the true history, codes for given
notes, the continuation of a true beginning, and generation from the accompaniment alone. It
compares the generated lines with other lines, from silence to the true bass, and it varies the
guidance.

All true codes come from files, so the codec is judged by its sound against the known notes. Its SDR
is the subject of `evaluate-vqvae`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from shared.atomic import files_together
from shared.codes.codec import Codec
from shared.codes.song_codes import require_fingerprint
from shared.console import ProgressBar, progress
from shared.errors import require
from shared.json_files import write_json
from stage2_prior.bass_sound import BassSound, PlainSound
from stage2_prior.clip_measurements import (
    PROMPT_SECONDS,
    JudgedSound,
    codec_pitch_match,
    compared_sounds,
    continuation_figures,
    equal_codes,
    given_notes_pitch_match,
    guided_figures,
    judge_sounds,
)
from stage2_prior.clip_sampler import ClipLine, ClipSampler
from stage2_prior.clips import Clip, MixedClip, load_clips, mixed_clips
from stage2_prior.likelihood import Likelihood, song_likelihood
from stage2_prior.model import Prior
from stage2_prior.prior_report import (
    GENERATED,
    GENERATED_FROM_MIXTURE,
    TRUE,
    PriorReport,
    Section,
    draw_report,
    report_markdown,
)
from stage2_prior.report_sections import (
    bass_removal_section,
    codec_section,
    comparison,
    continuation_section,
    encoder_section,
    generation_section,
    given_notes_section,
    guidance_section,
    likelihood_figures,
    next_code_section,
)
from stage2_prior.sampling import SamplingSettings
from stage2_prior.sequences import SongTokens

SECTION_CLIPS = 10  # sections beside the comparison sample anew, so they use at most this many
GUIDANCES = (1.0, 3.0, 5.0)

T = TypeVar("T")


def evaluate_prior(
    codes: Path,
    codec: Codec,
    prior: Prior,
    out: Path,
    split: str = "test",
    songs: int = 40,
    seconds: float = 20.0,
    settings: SamplingSettings | None = None,
    data: Path | None = None,
    sound: BassSound | None = None,
) -> PriorReport:
    """Evaluate a prior, and write report.json, report.md and report.png into `out`.

    Args:
        codes: a folder that `extract-codes` wrote.
        codec: the codec that made the codes.
        prior: the prior.
        out: the folder for the report.
        split: the split to take the songs from.
        songs: the largest number of songs. They are spread evenly over the split.
        seconds: how much of the middle of each song is evaluated.
        settings: how to sample; the prior's own settings by default. Song i is sampled with the
            seed `settings.seed + i`.
        data: the folder of songs that the codes were extracted from. With it, the comparison also
            has what is generated for the songs' mixtures, from which the codec removes the bass,
            and ends with the stems of the true bass.
        sound: what renders the lines; without it the codec decodes them.

    Raises:
        UserError: there are too few songs, the codes or the prior are of another codec, `data`
            holds other songs, or `out` cannot be written to.
    """
    require(songs >= 2, "at least two songs are needed, to compare one with another")
    require(seconds > PROMPT_SECONDS, f"clips must be longer than {PROMPT_SECONDS:g} s")
    require_fingerprint(prior.format.fingerprint, codec.fingerprint, "the codes of this prior")
    settings = settings or SamplingSettings.of(prior)
    sampler = ClipSampler(codec, prior, settings, sound or PlainSound(codec))
    clips = load_clips(codes, codec, split, songs, seconds)
    mixed = () if data is None else mixed_clips(clips, data, codec)
    names = {end: out / f"report.{end}" for end in ("json", "md", "png")}
    with files_together(names) as files:
        with progress("evaluating", _count_steps(sampler, clips, mixed)) as bar:
            measured = _measure(sampler, clips, mixed, bar)
        report = PriorReport(
            split=split,
            songs=tuple(clip.song.track for clip in clips),
            seconds=seconds,
            settings=sampler.settings,
            codec=codec.fingerprint,
            window_seconds=prior.config.window_seconds,
            likelihood=likelihood_figures(measured.likelihoods),
            comparison=comparison(measured.judged),
            sections=measured.sections,
        )
        write_json(files["json"], asdict(report))
        files["md"].write_text(report_markdown(report), encoding="utf-8")
        draw_report(report, files["png"])
    return report


@dataclass(frozen=True, eq=False)
class _Measured:
    """All that is measured on the clips."""

    judged: Mapping[str, Sequence[JudgedSound]]
    likelihoods: Sequence[Likelihood]
    sections: tuple[Section, ...]


def _measure(
    sampler: ClipSampler, clips: Sequence[Clip], mixed: Sequence[MixedClip], bar: ProgressBar
) -> _Measured:
    lines = _sample_lines(sampler, clips, mixed, bar)
    judged = _judge(sampler, clips, mixed, lines, bar)
    likelihoods = _likelihoods(sampler.prior, clips, bar)
    some = clips[:SECTION_CLIPS]
    pitch_match = {
        scale: [
            given_notes_pitch_match(sampler, clip, note_guidance=scale)
            for clip in _tracked(some, bar)
        ]
        for scale in _note_guidances(sampler)
    }
    guided = {
        scale: [guided_figures(sampler, clip, guidance=scale) for clip in _tracked(some, bar)]
        for scale in GUIDANCES
    }
    equal = [
        equal_codes(sampler, clip, lines[GENERATED][clip.number]) for clip in _tracked(some, bar)
    ]
    sections = [
        codec_section([codec_pitch_match(sampler, clip) for clip in _tracked(some, bar)]),
        encoder_section(likelihoods),
        next_code_section(likelihoods),
        given_notes_section(pitch_match),
        continuation_section([continuation_figures(sampler, clip) for clip in _tracked(some, bar)]),
        generation_section(judged, equal),
    ]
    if mixed:
        sections.append(bass_removal_section(judged, [clip.bass_found for clip in mixed]))
    sections.append(guidance_section(guided))
    return _Measured(judged, likelihoods, tuple(sections))


def _sample_lines(
    sampler: ClipSampler, clips: Sequence[Clip], mixed: Sequence[MixedClip], bar: ProgressBar
) -> dict[str, list[ClipLine]]:
    """Sample a line for each clip from its accompaniment alone, and one for each mixed clip."""
    lines = {GENERATED: [sampler.sample(clip) for clip in _tracked(clips, bar)]}
    if mixed:
        lines[GENERATED_FROM_MIXTURE] = [
            sampler.sample(each.clip, mixed=each) for each in _tracked(mixed, bar)
        ]
    return lines


def _judge(
    sampler: ClipSampler,
    clips: Sequence[Clip],
    mixed: Sequence[MixedClip],
    lines: Mapping[str, Sequence[ClipLine]],
    bar: ProgressBar,
) -> dict[str, list[JudgedSound]]:
    """Judge every kind of bass line for each clip; the next clip lends another song's bass."""
    judged: dict[str, list[JudgedSound]] = {}
    for index, clip in enumerate(_tracked(clips, bar)):
        other = clips[(index + 1) % len(clips)]
        generated = {name: each[index] for name, each in lines.items()}
        sounds = compared_sounds(sampler, clip, other, generated)
        if mixed:
            sounds[TRUE] = mixed[index].bass
        for name, sound in judge_sounds(sounds, clip).items():
            judged.setdefault(name, []).append(sound)
    return judged


def _likelihoods(prior: Prior, clips: Sequence[Clip], bar: ProgressBar) -> list[Likelihood]:
    """Measure the likelihood of each song; the next song lends the shuffled accompaniment."""
    songs = [SongTokens.of(clip.song) for clip in clips]
    others = [*songs[1:], songs[0]]
    pairs = _tracked(list(zip(songs, others, strict=True)), bar)
    return [song_likelihood(prior, song, other) for song, other in pairs]


def _note_guidances(sampler: ClipSampler) -> list[float]:
    """Return the note guidances to compare: that of the model itself, and that of the settings."""
    return list(dict.fromkeys((1.0, sampler.settings.note_guidance)))


def _count_steps(sampler: ClipSampler, clips: Sequence[Clip], mixed: Sequence[MixedClip]) -> int:
    """Count how often the progress bar advances."""
    some = len(clips[:SECTION_CLIPS])
    sampled_again = len(_note_guidances(sampler)) + len(GUIDANCES)
    return 3 * len(clips) + len(mixed) + (3 + sampled_again) * some


def _tracked(items: Iterable[T], bar: ProgressBar) -> Iterator[T]:
    """Advance the progress bar after each item."""
    for item in items:
        yield item
        bar.advance()
