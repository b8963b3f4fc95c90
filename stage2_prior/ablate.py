"""Compare a prior with variants of it that lack one part each (`ablate-prior`)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from shared.atomic import files_together
from shared.codes.codec import Codec
from shared.codes.song_codes import require_fingerprint
from shared.console import err_console, progress
from shared.device import Device
from shared.errors import UserError, require
from shared.json_files import write_json
from shared.model_names import folder_name
from shared.song_figures import KEY, REPORT_NAME, SongFigures, part_measured
from shared.training.checkpoint import save_checkpoint
from stage2_prior.bass_sound import BassSound, PlainSound
from stage2_prior.clip_measurements import JudgedLine, compared_lines, judge_lines
from stage2_prior.clip_sampler import ClipSampler, HeardLine
from stage2_prior.clips import Clip, load_clips
from stage2_prior.composer.features import listen
from stage2_prior.config import PARTS, PriorConfig
from stage2_prior.heard_line import most_probable_notes
from stage2_prior.model import Prior, load_prior, prior_metadata
from stage2_prior.prior_report import FORM, SHARES, ComparisonRow, Difference, rows_table
from stage2_prior.report_sections import (
    GeneratedRow,
    comparison,
    mean_difference,
    song_figures,
)
from stage2_prior.sampling import SamplingSettings
from stage2_prior.sampling_defaults import SamplingDefaults
from stage2_prior.train import new_prior, train_prior
from stage2_prior.variants import (
    FULL,
    Variant,
    parts_to_train,
    sampled_variants,
    trained_variants,
)

FIGURES = (*SHARES, "voiced_share")


@dataclass(frozen=True)
class PriorAblation:
    """What `ablate-prior` measured.

    Attributes:
        split: the split of the songs.
        songs: their names.
        seconds: how much of the middle of each was used.
        settings: how the lines of the full prior were sampled.
        comparison: the lines of the variants, between other songs' basses and the true ones.
        differences: each variant minus the full prior, song by song.
        by_song: the figures of each variant, song by song.
    """

    split: str
    songs: tuple[str, ...]
    seconds: float
    settings: SamplingSettings
    comparison: tuple[ComparisonRow, ...]
    differences: tuple[Difference, ...]
    by_song: Mapping[str, SongFigures]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
        return {**asdict(self), KEY: {name: asdict(each) for name, each in self.by_song.items()}}

    def as_markdown(self) -> str:
        """Return the content of `report.md`."""
        sampling = ", ".join(f"{name} {value}" for name, value in vars(self.settings).items())
        return "\n\n".join(
            [
                "# Ablation of the prior",
                f"{len(self.songs)} songs of the split `{self.split}`, {self.seconds:g} s from the "
                "middle of each. The brackets hold 95 % bootstrap intervals over songs. "
                f"Sampling: {sampling}.",
                "## Differences",
                "Each variant minus the full prior, song by song. How well the line fits its song:",
                rows_table(FIGURES, self.differences),
                "The form of its notes:",
                rows_table(FORM, self.differences),
                "## Figures",
                rows_table(FIGURES, self.comparison),
                rows_table(FORM, self.comparison) + "\n",
            ]
        )


@dataclass(frozen=True)
class Recipe:
    """How the priors of an ablation are trained.

    Attributes:
        config: the full recipe, its budget and its seeds.
        resume: "auto" continues where an earlier call was stopped, and does not train again what is
            trained already.
        device: what to compute on.
    """

    config: PriorConfig
    resume: Literal["auto", "never"] = "auto"
    device: Device = "auto"


def ablate_prior(
    codes: Path,
    codec: Codec,
    out: Path,
    full: Recipe | Prior,
    only: Sequence[str] = (),
    sampling: Mapping[str, Any] | None = None,
    split: str = "test",
    songs: int = 40,
    seconds: float = 20.0,
    sound: BassSound | None = None,
) -> PriorAblation:
    """Measure variants of a prior on the same songs, and write `report.json` and `report.md`.

    Args:
        codes: a folder that `extract-codes` wrote.
        codec: the codec that made the codes.
        out: the folder of the report. Priors that are trained are in folders of their own in it.
        full: how to train the full prior and the variants, or a prior that is trained already; then
            only variants that need no training are measured.
        only: the names of the variants to measure beside the full prior; none measures all.
        sampling: settings of sampling that replace those of the prior; None keeps one.
        split: the split to take the songs from, or "all".
        songs: the largest number of songs.
        seconds: how much of the middle of each song is used.
        sound: what renders the lines; without it the codec decodes them.

    Raises:
        UserError: there is no such variant, too few songs, or the codes are of another codec.
    """
    clips = load_clips(codes, codec, split, songs, seconds)
    # A prior that is trained here has the fallback values of sampling.
    tuned = SamplingDefaults() if isinstance(full, Recipe) else full.sampling
    given = {name: value for name, value in (sampling or {}).items() if value is not None}
    settings = SamplingSettings(**(asdict(tuned) | given))
    variants = sampled_variants(settings)
    if isinstance(full, Recipe):
        variants += trained_variants(full.config)
    variants = _chosen(variants, only)
    prior = _train_full(codes, out, full) if isinstance(full, Recipe) else full
    require_fingerprint(prior.format.fingerprint, codec.fingerprint, "the codes of the prior")
    judged: dict[str, list[JudgedLine]] = {}
    for variant in variants:
        its_prior = _train_variant(codes, out, full, variant, prior)
        sampler = ClipSampler(codec, its_prior, settings, sound or PlainSound(codec))
        judged[variant.name] = _judge(sampler, variant, clips)
    rows = [GeneratedRow(variant.name, variant.name, False) for variant in variants]
    sampler = ClipSampler(codec, prior, settings, sound or PlainSound(codec))
    report = _report(judged | _other_lines(sampler, clips), rows, clips, settings, split, seconds)
    with files_together({"text": out / "report.md", "data": out / REPORT_NAME}) as files:
        write_json(files["data"], report.as_dict())
        files["text"].write_text(report.as_markdown(), encoding="utf-8")
    return report


def _chosen(known: Sequence[Variant], names: Sequence[str]) -> list[Variant]:
    """Return the full prior and the variants of some names; all where no name is given."""
    possible = ", ".join(f"'{variant.name}'" for variant in known)
    for name in names:
        require(
            name in [variant.name for variant in known],
            f"there is no variant '{name}' of this prior: choose from {possible}",
        )
    return [variant for variant in known if not names or variant.name in (FULL, *names)]


def _train_full(codes: Path, out: Path, recipe: Recipe) -> Prior:
    if recipe.config.parts != PARTS:
        raise UserError("an ablation trains all parts of the prior: leave 'parts' as it is")
    err_console.print(f"variant: {FULL}")
    path = train_prior(codes, out / FULL, recipe.config, recipe.resume, recipe.device)
    return load_prior(path, recipe.device)


def _train_variant(
    codes: Path, out: Path, recipe: Recipe | Prior, variant: Variant, full: Prior
) -> Prior:
    """Train what a variant trains differently, from the first weights of the full prior.

    The other parts are those of the full prior.
    """
    if variant.config is None or not isinstance(recipe, Recipe):
        return full
    err_console.print(f"variant: {variant.name}")
    folder = out / folder_name(variant.name)
    parts = parts_to_train(recipe.config, variant.config)
    start = new_prior(variant.config, full.format)
    for part in (part for part in PARTS if part not in parts):
        getattr(start, part).load_state_dict(getattr(full, part).state_dict())
    beginning = folder / "start.safetensors"
    save_checkpoint(beginning, start.state_dict(), {"stage": "prior", **prior_metadata(start)})
    config = replace(variant.config, parts=parts)
    path = train_prior(codes, folder, config, recipe.resume, recipe.device, beginning)
    return load_prior(path, recipe.device)


def _judge(sampler: ClipSampler, variant: Variant, clips: Sequence[Clip]) -> list[JudgedLine]:
    """Sample a line for each clip, and judge it."""
    judged = []
    with progress(variant.name, len(clips)) as bar:
        for clip in clips:
            line = _line(sampler, variant, clip)
            judged.append(judge_lines({variant.name: line}, clip)[variant.name])
            bar.advance()
    return judged


def _line(sampler: ClipSampler, variant: Variant, clip: Clip) -> HeardLine:
    heard = clip.hearing(variant.view)
    if variant.composed:
        sampled = sampler.sample(heard, harmony=variant.harmony, **variant.settings)
        return sampler.heard(clip, sampled)
    hearing = listen(sampler.prior.listener, heard.accompaniment)
    return sampler.perform(clip, most_probable_notes(hearing))


def _other_lines(sampler: ClipSampler, clips: Sequence[Clip]) -> dict[str, list[JudgedLine]]:
    """Judge what the variants are placed between; the next clip lends another song's bass."""
    judged: dict[str, list[JudgedLine]] = {}
    for index, clip in enumerate(clips):
        other = clips[(index + 1) % len(clips)]
        for name, line in judge_lines(compared_lines(sampler, clip, other, {}), clip).items():
            judged.setdefault(name, []).append(line)
    return judged


def _report(
    judged: Mapping[str, Sequence[JudgedLine]],
    rows: Sequence[GeneratedRow],
    clips: Sequence[Clip],
    settings: SamplingSettings,
    split: str,
    seconds: float,
) -> PriorAblation:
    names = tuple(clip.song.track for clip in clips)
    differences = tuple(
        Difference(row.name, mean_difference(judged[FULL], judged[row.name]))
        for row in rows
        if row.name != FULL
    )
    return PriorAblation(
        split=split,
        songs=names,
        seconds=seconds,
        settings=settings,
        comparison=comparison(judged, rows),
        differences=differences,
        by_song=song_figures(judged, rows, part_measured(split, seconds), names),
    )
