"""Train variants of a recipe from one seed and budget, and compare them (`ablate`).

The paper's own comparison (full, without STFT, without complement) comes first, then the paper's
losses alone, then this project's additions, each of them left out of the full recipe or replaced by
what is common. All variants are trained on the same batches of the same songs, for as many steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shared.atomic import files_together
from shared.console import err_console
from shared.device import Device
from shared.errors import UserError
from shared.json_files import write_json
from shared.metrics import code_usage, count_codes, sdr_windows
from shared.model_names import folder_name
from shared.songs.cache import CachedSong
from shared.songs.tracks import Split
from shared.sound.separation import CodedMixture
from shared.sources import SOURCES
from stage1_vqvae.codec import load_codec
from stage1_vqvae.config import LossConfig, VQVAEConfig
from stage1_vqvae.evaluate import songs_of
from stage1_vqvae.quantizer import softness
from stage1_vqvae.sdr_table import PAPER, SdrRow, sdr_table
from stage1_vqvae.train import train_vqvae

SPLIT: Split = "test"


@dataclass(frozen=True)
class Variant:
    """A configuration to train, and its name."""

    name: str
    config: VQVAEConfig

    @property
    def folder(self) -> str:
        """The name of its run folder."""
        return folder_name(self.name)


@dataclass(frozen=True)
class VariantFigures:
    """What was measured of one variant.

    Attributes:
        row: SDR of the decoded sources.
        perplexity: the mean over all codebooks.
    """

    row: SdrRow
    perplexity: float


@dataclass(frozen=True)
class Ablation:
    """What `ablate` measured on songs that were not trained on.

    Attributes:
        steps: how many steps each variant was trained for.
        seed: the seed of every run.
        songs: the names of the songs.
        figures: one entry for each variant.
    """

    steps: int
    seed: int
    songs: tuple[str, ...]
    figures: tuple[VariantFigures, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
        return {
            "steps": self.steps,
            "seed": self.seed,
            "songs": self.songs,
            "variants": [f.row.as_dict() | {"perplexity": f.perplexity} for f in self.figures],
            "paper": [row.as_dict() for row in PAPER],
        }

    def as_markdown(self) -> str:
        """Return the content of `report.md`."""
        perplexities = ", ".join(f"{f.row.name} {f.perplexity:.1f}" for f in self.figures)
        return (
            f"# Ablation\n\nEvery variant: {self.steps} steps from seed {self.seed}. "
            f"Decoded SDR on {len(self.songs)} songs of the {SPLIT} split: "
            "median over windows of 1 s, then over songs.\n\n"
            f"{sdr_table([*(f.row for f in self.figures), *PAPER])}\n\n"
            "The paper's figures are on the MUSDB18 test set.\n\n"
            f"Mean perplexity of the codebooks: {perplexities}.\n"
        )


def variants(full: VQVAEConfig) -> list[Variant]:
    """List the variants of a recipe.

    A part that the recipe does not use, or that has no effect in it, gives no variant. "Without
    STFT" leaves out every term on spectra: the paper's and our magnitude term.
    """
    loss, schedule, remix, train = full.loss, full.quantizer, full.remix, full.train
    paper_losses = LossConfig(complement=loss.complement)
    constant = replace(schedule, temperature_start=schedule.temperature_end)
    plain = replace(remix, gain_low_db=0.0, gain_high_db=0.0, flip=False)
    shared = replace(full.model, shared_codebooks=True)
    adamw = replace(train, optimizer="adamw" if train.optimizer == "muon" else train.optimizer)
    candidates = [
        Variant("full", full),
        Variant("without STFT", replace(full, loss=replace(loss, stft=0.0, magnitude=0.0))),
        Variant("without complement", replace(full, loss=replace(loss, complement=False))),
        Variant("losses of the paper", replace(full, loss=paper_losses)),
        Variant("without SNR", replace(full, loss=replace(loss, snr=0.0))),
        Variant("without magnitude", replace(full, loss=replace(loss, magnitude=0.0))),
        Variant("without usage", replace(full, loss=replace(loss, usage=0.0))),
        Variant("with free logits", replace(full, model=replace(full.model, tied_logits=False))),
        Variant("with shared codebooks", replace(full, model=shared)),
        Variant("without annealing", replace(full, quantizer=constant)),
        Variant(
            "without fading noise in", replace(full, quantizer=replace(schedule, noise_full_at=0.0))
        ),
        Variant("without hard phase", replace(full, quantizer=replace(schedule, hard_from=1.0))),
        Variant("without coherent songs", replace(full, remix=replace(remix, coherent=0.0))),
        Variant("without gain and flip", replace(full, remix=plain)),
        Variant(
            "without single-source selection",
            replace(full, remix=replace(remix, single_source=0.0)),
        ),
        Variant("with AdamW", replace(full, train=adamw)),
        Variant("without averaging", replace(full, train=replace(train, ema_decay=0.0))),
    ]
    distinct: list[Variant] = []
    for candidate in candidates:
        known = [variant.config for variant in distinct]
        if candidate.config.loss.compares_sound and not any(
            _alike(candidate.config, other) for other in known
        ):
            distinct.append(candidate)
    return distinct


def ablate(
    data: Path,
    out: Path,
    config: VQVAEConfig,
    only: Sequence[str] = (),
    songs: int | None = None,
    seconds: float | None = None,
    resume: Literal["auto", "never"] = "auto",
    device: Device = "auto",
) -> Ablation:
    """Train every variant, measure all of them, and write `report.json` and `report.md`.

    Args:
        data: MUSDB18, MUSDB18-HQ or any folder of songs with four stems.
        out: the folder of the report; each variant is trained into a folder of its own in it.
        config: the full recipe, its budget and its seed.
        only: the names of the variants to train; none trains all that `variants` lists.
        songs: how many songs of the test split to measure; None measures all.
        seconds: how much of the middle of each; None measures the whole song.
        resume: "auto" continues where an earlier call was stopped, and measures variants that are
            already trained without training them again.
        device: what to compute on.

    Raises:
        UserError: unusable data, an unknown variant, or a run of other settings in `out`.
    """
    chosen = _chosen(variants(config), only)
    tested = songs_of(data, config.model.sample_rate, SPLIT, songs)
    figures = []
    for variant in chosen:
        err_console.print(f"variant: {variant.name}")
        path = train_vqvae(data, out / variant.folder, variant.config, resume, device)
        figures.append(_measure(variant.name, path, tested, seconds, device))
    names = tuple(song.name for song in tested)
    ablation = Ablation(config.train.steps, config.train.seed, names, tuple(figures))
    paths = {name: out / name for name in ("report.json", "report.md")}
    with files_together(paths) as files:
        write_json(files["report.json"], ablation.as_dict())
        files["report.md"].write_text(ablation.as_markdown(), encoding="utf-8", errors="replace")
    return ablation


def _alike(one: VQVAEConfig, other: VQVAEConfig) -> bool:
    """Whether both train alike: their schedules may differ if every step has the same state."""
    if replace(one, quantizer=other.quantizer) != other:
        return False
    positions = (step / one.train.steps for step in range(one.train.steps))
    return one == other or all(
        softness(one.quantizer, at) == softness(other.quantizer, at) for at in positions
    )


def _chosen(known: Sequence[Variant], names: Sequence[str]) -> list[Variant]:
    for name in names:
        if name not in [variant.name for variant in known]:
            raise UserError(
                f"there is no variant '{name}' of this recipe: "
                f"choose from {', '.join(variant.name for variant in known)}"
            )
    return [variant for variant in known if not names or variant.name in names]


def _measure(
    name: str, path: Path, songs: Sequence[CachedSong], seconds: float | None, device: Device
) -> VariantFigures:
    codec = load_codec(path, device)
    counts = np.zeros((len(SOURCES), codec.num_codebooks, codec.cardinality), np.int64)
    scores = []
    for song in songs:
        stems = song.middle(seconds)
        coded = CodedMixture.encode(stems.sum(0), codec)
        counts += count_codes(coded.codes, codec.cardinality)
        scores.append(sdr_windows(stems, coded.decode_each(), codec.sample_rate))
    return VariantFigures(SdrRow.of(name, scores), float(code_usage(counts).perplexity.mean()))
