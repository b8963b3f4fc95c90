"""The report of `evaluate-prior`: as data, as a page of Markdown, and as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stage2_prior.bootstrap import Estimate
from stage2_prior.frechet import EMBEDDING
from stage2_prior.likelihood import WINDOWS_A_SONG
from stage2_prior.sampling import SamplingSettings

SHARES = ("root_on_downbeats", "chord_tones", "grid_f1", "onset_f1")
GENERATED, GENERATED_FROM_MIXTURE = "generated", "generated, bass removed from the mixture"
TRUE_FROM_CODES, TRUE = "true bass, from its codes", "true bass"
COLOUR = "tab:orange"  # of what the prior generated
COLUMNS = (*SHARES, "voiced_share", "num_notes", "lowest", "highest", "rms_db")


@dataclass(frozen=True)
class ComparisonRow:
    """One kind of bass line, and how well it fits the songs.

    Attributes:
        name: what kind it is.
        figures: means of the figures of shared/music/bass_metrics.py.
        frechet: the Frechet distance (frechet.py) from the last row of the comparison.
    """

    name: str
    figures: Mapping[str, Estimate]
    frechet: float


@dataclass(frozen=True)
class Section:
    """A question about the prior, and the figures that answer it."""

    name: str
    question: str
    figures: Mapping[str, Estimate]


@dataclass(frozen=True)
class PriorReport:
    """The content of report.json. Figures are means over songs with 95 % bootstrap intervals.

    Attributes:
        split: the split that the songs are of.
        songs: the names of the songs.
        seconds: how much of each song was evaluated.
        settings: how lines were sampled.
        codec: the fingerprint of the codec.
        window_seconds: the length of the windows in which the likelihood was measured.
        likelihood: bits per second and per code, and what the right accompaniment saves.
        comparison: the kinds of bass lines, from silence to the true bass.
        sections: the questions, in the order in which failures arise.
    """

    split: str
    songs: tuple[str, ...]
    seconds: float
    settings: SamplingSettings
    codec: str
    window_seconds: float
    likelihood: Mapping[str, Estimate]
    comparison: tuple[ComparisonRow, ...]
    sections: tuple[Section, ...]


def report_markdown(report: PriorReport) -> str:
    """Write the report as a page of Markdown."""
    settings = ", ".join(f"{name} {value}" for name, value in vars(report.settings).items())
    parts = [
        "# The prior on songs it was not trained on",
        f"{len(report.songs)} songs of the split `{report.split}`, {report.seconds:g} s from the "
        f"middle of each; codec `{report.codec}`. Sampling: {settings}. The brackets hold 95 % "
        "bootstrap intervals over songs.",
        "## Likelihood",
        "The true bass is the history of every prediction. The figures are measured in at most "
        f"{WINDOWS_A_SONG} windows of {report.window_seconds:g} s a song. Bits per second of music "
        "are those of the notes and of all codes. The codes depend on the song only through their "
        "notes, so everything that the accompaniment saves, it saves at the notes.",
        _figures_table(report.likelihood),
        "## Where failures arise",
        "Each section tests one step of generation, in the order of the steps.",
        *(
            f"### {number}. {section.name}\n\n{section.question}\n\n"
            + _figures_table(section.figures)
            for number, section in enumerate(report.sections, 1)
        ),
        "## Comparison",
        "The figures are judged by the sound alone, with pyin as the pitch tracker. Every line "
        f"except silence and '{TRUE}' (the stem, if there is such a row) is decoded from codes, "
        "and its attacks are shaped by its own notes where they are known.",
        _comparison_table(report.comparison),
        f"Frechet is the distance from '{report.comparison[-1].name}'. Embedding: {EMBEDDING}.",
    ]
    return "\n\n".join(parts) + "\n"


def draw_report(report: PriorReport, path: Path) -> None:
    """Draw a PNG with the bits that the right accompaniment saves, and the comparison."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    def draw_saved_bits(axis: Axes) -> None:
        against = ("none", "shuffled")
        saved = [report.likelihood[f"bits/s saved against {name}"] for name in against]
        means = [each.mean for each in saved]
        axis.bar(against, means, yerr=_errors(saved), capsize=3, color=COLOUR)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_ylabel("bits per second of music")
        axis.set_title("saved by the right accompaniment")

    def draw_comparison(axis: Axes) -> None:
        last = len(report.comparison) - 1
        width = 0.8 / len(report.comparison)
        for index, row in enumerate(report.comparison):
            shares = [row.figures[name] for name in SHARES]
            is_generated = row.name in (GENERATED, GENERATED_FROM_MIXTURE)
            axis.bar(
                [column + (index - last / 2) * width for column in range(len(SHARES))],
                [share.mean for share in shares],
                width,
                yerr=_errors(shares),
                capsize=2,
                color=COLOUR if is_generated else str(0.85 * (1 - index / last)),
                edgecolor="white",
                linewidth=0,
                hatch="//" if row.name == GENERATED_FROM_MIXTURE else None,
                label=row.name,
            )
        axis.set_xticks(range(len(SHARES)), [name.replace("_", " ") for name in SHARES])
        axis.set_ylim(0, 1.02)
        axis.set_title("how the bass fits the song")

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 3))
    draw_saved_bits(left)
    draw_comparison(right)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    figure.savefig(path, format="png", dpi=130)


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Return the distances of the bounds from the means, as matplotlib expects them."""
    return [[e.mean - e.low for e in estimates], [e.high - e.mean for e in estimates]]


def _figures_table(figures: Mapping[str, Estimate]) -> str:
    return _table(("", "mean [95 %]"), [(name, str(value)) for name, value in figures.items()])


def _comparison_table(comparison: Sequence[ComparisonRow]) -> str:
    header = ("bass", *(name.replace("_", " ") for name in COLUMNS), "Frechet")
    rows = [
        (row.name, *(str(row.figures[name]) for name in COLUMNS), f"{row.frechet:.1f}")
        for row in comparison
    ]
    return _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
