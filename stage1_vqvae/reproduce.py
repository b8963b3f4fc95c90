"""Repeat the paper's experiments, and put our figures beside the paper's (`reproduce-paper`)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.atomic import files_together
from shared.console import err_console
from shared.device import Device
from shared.json_files import write_json
from shared.songs.cache import build_cache
from shared.training.announcement import duration
from stage1_vqvae.ablate import Ablation, ablate
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.cost import REACHED, gpu_hours, operations_per_step
from stage1_vqvae.evaluate import VQVAEReport, evaluate_vqvae
from stage1_vqvae.sdr_table import PAPER, SdrRow, decibels, sdr_table

VARIANTS = ("full", "without STFT", "without complement")
BASS_PICTURE = "bass.png"  # in the folder of the report


@dataclass(frozen=True)
class Point:
    """One thing that the paper says or shows, and what we found.

    Attributes:
        name: what it is about.
        paper: what the paper says.
        ours: what was done or measured here.
    """

    name: str
    paper: str
    ours: str


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce-paper` measured.

    Attributes:
        splits: how many songs each split has.
        ablation: the SDR of the full loss and of the paper's two variants.
        codec: everything else about the codec with the full loss.
        points: the paper's statements beside ours.
    """

    splits: dict[str, int]
    ablation: Ablation
    codec: VQVAEReport
    points: tuple[Point, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
        return {
            "splits": self.splits,
            "ablation": self.ablation.as_dict(),
            "codec": self.codec.as_dict(),
            "points": [vars(point) for point in self.points],
        }

    def as_markdown(self) -> str:
        """Return the content of `report.md`."""
        rows = [f"| {p.name} | {p.paper} | {p.ours} |" for p in self.points]
        return "\n\n".join(
            [
                "# The paper, repeated",
                f"Every variant was trained for {self.ablation.steps} steps from seed "
                f"{self.ablation.seed}. The paper names no number of steps and no sizes, so its "
                "figures are a goal and not a bound.",
                "\n".join(["| point | the paper | here |", "|---|---|---|", *rows]),
                "## SDR of the decoded sources",
                f"On {len(self.ablation.songs)} songs of the test split: median over windows of "
                "1 s, then over songs. The paper's figures are on the MUSDB18 test set.",
                sdr_table([*(each.row for each in self.ablation.figures), *PAPER]),
                "## Quantised vectors of single sources",
                "![t-SNE of the vectors, coloured by source](codec/tsne.png)",
                "## A generated bass",
                f"![Spectrograms of a true and of a generated bass]({BASS_PICTURE})\n",
            ]
        )


def reproduce_paper(
    data: Path,
    out: Path,
    config: VQVAEConfig,
    draw_bass: Callable[[Path, Path], None],
    songs: int | None = None,
    seconds: float | None = None,
    resume: Literal["auto", "never"] = "auto",
    device: Device = "auto",
) -> Reproduction:
    """Train the recipe and the paper's two variants, measure them, and draw the paper's figures.

    `out` then holds the report (`report.md`, `report.json`), the runs (`ablation/`), the report of
    the codec with its t-SNE (`codec/`), and the picture of a generated bass. What is there already
    is not trained again.

    Args:
        data: MUSDB18, MUSDB18-HQ or any folder of songs with four stems.
        out: the folder of the report.
        config: the recipe; its budget and seed are those of all variants.
        draw_bass: generates a bass with the codec of a run folder, and draws it into a file. Stage
            2 does this, which stage 1 does not know.
        songs: how many songs of the test split to measure; None measures all.
        seconds: how much of the middle of each; None measures the whole song.
        resume: whether to continue what `out` holds.
        device: what to compute on.

    Raises:
        UserError: unusable data, settings or device, or `out` holds runs of other settings.
    """
    err_console.print(announcement(config))
    cache = build_cache(data, sample_rate=config.model.sample_rate)
    splits = {name: len(cache.split(name)) for name in ("train", "valid", "test")}
    ablation = ablate(data, out / "ablation", config, VARIANTS, songs, seconds, resume, device)
    codec = out / "ablation" / "full"
    report = evaluate_vqvae(
        data, codec, out / "codec", "test", songs, seconds, device=device, name="full"
    )
    draw_bass(codec, out / BASS_PICTURE)
    points = _points(config, splits, ablation, report)
    result = Reproduction(splits, ablation, report, points)
    with files_together({"text": out / "report.md", "data": out / "report.json"}) as files:
        write_json(files["data"], result.as_dict())
        files["text"].write_text(result.as_markdown(), encoding="utf-8")
    return result


def announcement(config: VQVAEConfig) -> str:
    """Say how long the trainings of stage 1 will take on known GPUs, as far as can be computed."""
    operations = len(VARIANTS) * config.train.steps * operations_per_step(config)
    hours = ", ".join(
        f"{duration(3600 * each)} on one {name}"
        for name, each in gpu_hours(operations, config.train).items()
    )
    return (
        f"{len(VARIANTS)} trainings of {config.train.steps} steps need {operations:.1e} operations "
        f"in matrix products and convolutions: {hours} (computed, for {REACHED:.0%} of the peak "
        f"rate at {config.train.precision}; reading, validation and the prior are not counted)"
    )


def _points(
    config: VQVAEConfig, splits: dict[str, int], ablation: Ablation, report: VQVAEReport
) -> tuple[Point, ...]:
    ours = {each.row.name: each.row for each in ablation.figures}
    paper = {row.name.removeprefix("paper: "): row for row in PAPER}
    train, loss = config.train, config.loss
    own_loss = [name for name in ("waveform", "stft", "snr", "magnitude") if getattr(loss, name)]
    entries = [value for each in report.codes.values() for value in each.perplexity]
    embedding = report.embedding
    return (
        Point("songs (train, valid, test)", "86, 14, 50", ", ".join(map(str, splits.values()))),
        Point(
            "optimiser",
            "Adam, learning rate 1e-4",
            f"{train.optimizer}, learning rate {train.learning_rate:g}, {train.steps} steps of "
            f"{train.batch_size} x {config.remix.segment_seconds:g} s",
        ),
        Point("loss", "waveform and STFT, with complement", " and ".join(own_loss)),
        *(
            Point(f"mean SDR, {name}, dB", decibels(paper[name].mean), decibels(ours[name].mean))
            for name in VARIANTS
        ),
        Point("variants from the best mean SDR", _ranking(paper), _ranking(ours)),
        Point(
            "bass without complement minus full, dB",
            *(
                decibels(rows["without complement"].sdr["bass"] - rows["full"].sdr["bass"])
                for rows in (paper, ours)
            ),
        ),
        Point(
            "vectors of single sources",
            "Figure 2 shows clusters by source",
            f"neighbours in other songs name the source of {embedding.knn_accuracy:.1%} of "
            f"{embedding.frames} frames; silhouette {embedding.silhouette:.3f}",
        ),
        Point(
            "use of the codebooks",
            "-",
            f"mean perplexity {sum(entries) / len(entries):.1f} of {report.entries}",
        ),
        Point("generated bass", "a spectrogram", f"{BASS_PICTURE}; the prior is ours"),
    )


def _ranking(rows: dict[str, SdrRow]) -> str:
    return ", ".join(sorted(VARIANTS, key=lambda name: -rows[name].mean))
