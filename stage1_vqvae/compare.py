"""Measure several codecs on the same songs, and put them on one table."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from shared.atomic import files_together
from shared.errors import require
from shared.json_files import write_json
from shared.song_figures import KEY, REPORT_NAME, comparison_table
from shared.songs.tracks import Split
from stage1_vqvae.evaluate import VQVAEReport, evaluate_vqvae
from stage1_vqvae.sdr_table import PAPER, SdrRow, sdr_table


def compare_codecs(
    data: Path,
    codecs: Mapping[str, Path | None],
    out: Path,
    split: Split = "test",
    songs: int | None = None,
    seconds: float | None = None,
    museval: bool = False,
    device: str = "cpu",
) -> str:
    """Measure codecs as `evaluate_vqvae` does, and compare them song by song.

    The report of each codec is written into a folder of its name in `out`. `report.md` and
    `report.json` beside these folders compare them.

    Args:
        data: MUSDB18, MUSDB18-HQ or any folder of songs with four stems.
        codecs: run folders or .safetensors files by the names of the codecs; None stands for the
            codec that ships with the project.
        out: the folder for the reports.
        split: which songs to measure.
        songs: how many of them; None measures all.
        seconds: how much of the middle of each; None measures the whole song.
        museval: measure SIR, SAR and ISR too, with the museval package.
        device: what to compute on.

    Returns:
        The content of `report.md`.

    Raises:
        UserError: a name cannot be that of a folder, or `evaluate_vqvae` refuses something.
    """
    for name in codecs:
        require(
            Path(name).name == name, f"the label '{name}' cannot name a folder: choose another one"
        )
    reports = {
        name: evaluate_vqvae(
            data, path, out / name, split, songs, seconds, museval, device=device, name=name
        )
        for name, path in codecs.items()
    }
    figures = {name: report.by_song[name] for name, report in reports.items()}
    text = "\n\n".join(
        [
            "# Codecs on the same songs",
            "SDR: median over windows of 1 s, then over songs. The paper's figures are of decoded "
            "sources, on the MUSDB18 test set.",
            sdr_table([*_rows(reports), *PAPER]),
            _codes_table(reports),
            "## Differences",
            comparison_table(figures) + "\n",
        ]
    )
    paths = {"text": out / "report.md", "data": out / REPORT_NAME}
    with files_together(paths) as files:
        write_json(files["data"], {KEY: {name: asdict(each) for name, each in figures.items()}})
        files["text"].write_text(text, encoding="utf-8", errors="replace")
    return text


def _rows(reports: Mapping[str, VQVAEReport]) -> list[SdrRow]:
    """List what was measured of each codec, and then the bounds, which are the same for all."""
    rows = [
        SdrRow(f"{name}: {kind}", report.row(kind).sdr)
        for kind in ("decoded", "masked")
        for name, report in reports.items()
    ]
    first = next(iter(reports.values()))
    return [*rows, first.row("floor"), first.row("ceiling")]


def _codes_table(reports: Mapping[str, VQVAEReport]) -> str:
    """Say what the codes of each codec cost, and how well its codebooks are used."""
    lines = ["| codec | bit/s | bit/s, entropy | mean perplexity |", "|---|---:|---:|---:|"]
    for name, report in reports.items():
        codes = report.codes.values()
        perplexity = [value for each in codes for value in each.perplexity]
        lines.append(
            f"| {name} | {sum(each.raw_bits for each in codes):.0f} "
            f"| {sum(each.entropy_bits for each in codes):.0f} "
            f"| {sum(perplexity) / len(perplexity):.1f} of {report.entries} |"
        )
    return "\n".join(lines)
