"""What `evaluate-prior` found: as data, as Markdown, as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stage2_prior.bootstrap import Estimate
from stage2_prior.frechet import EMBEDDING
from stage2_prior.likelihood import WINDOWS_A_SONG
from stage2_prior.sampling import SamplingSettings

SHARES = ("root_on_downbeats", "chord_tones", "grid_f1", "onset_f1")
OURS, OURS_FROM_MIX = "ours", "ours, the bass taken out of the mix"
TRUE_FROM_CODES, TRUE = "true bass, from its codes", "true bass"
COLOUR = "tab:orange"  # of ours
COLUMNS = (*SHARES, "voiced_share", "num_notes", "lowest", "highest", "rms_db")


@dataclass(frozen=True)
class ComparisonRow:
    """One kind of bass on the ladder: its figures (shared/music/bass_metrics.py), and its Frechet distance
    from the last rung (frechet.py), which is the truest bass there is.
    """

    name: str
    figures: Mapping[str, Estimate]
    frechet: float


@dataclass(frozen=True)
class Section:
    """One step of the way: what is asked, and the answers."""

    name: str
    question: str
    figures: Mapping[str, Estimate]


@dataclass(frozen=True)
class PriorReport:
    """The content of report.json; figures are means over songs with 95 % bootstrap intervals.

    window_seconds: length of the windows in which the likelihood is measured.
    likelihood: bits per second and per code, and what the right accompaniment saves.
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
    """The report as a page of Markdown."""
    settings = ", ".join(f"{name} {value}" for name, value in vars(report.settings).items())
    parts = [
        "# The prior on songs it was not trained on",
        f"{len(report.songs)} songs of the split `{report.split}`, {report.seconds:g} s from the "
        f"middle of each; codec `{report.codec}`. Sampling: {settings}. In brackets: 95 % "
        "bootstrap intervals over songs.",
        "## Likelihood",
        f"Teacher-forced, in at most {WINDOWS_A_SONG} windows of {report.window_seconds:g} s a song; "
        "bits per second of music are of the note and all codes. The song decides the notes, and the "
        "codes follow those: what it saves, it saves at the notes.",
        _table(("", "mean [95 %]"), [(n, str(e)) for n, e in report.likelihood.items()]),
        "## The steps, in the order in which failures arise",
        *(
            f"### {number}. {gate.name}\n\n{gate.question}\n\n"
            + _table(("", "mean [95 %]"), [(n, str(e)) for n, e in gate.figures.items()])
            for number, gate in enumerate(report.sections, 1)
        ),
        "## The ladder",
        f"Judged by the sound alone; pitch by pyin. All but silence is decoded from codes, with attacks "
        f"where each line's own notes have them, as far as they are known; '{TRUE}', where it stands, "
        "is the stem.",
        _table(
            ("bass", *(name.replace("_", " ") for name in COLUMNS), "Frechet"),
            [
                (rung.name, *(str(rung.figures[name]) for name in COLUMNS), f"{rung.frechet:.1f}")
                for rung in report.comparison
            ],
        ),
        f"Frechet: distance from '{report.comparison[-1].name}'; embedding: {EMBEDDING}.",
    ]
    return "\n\n".join(parts) + "\n"


def draw_report(report: PriorReport, path: Path) -> None:
    """Two panels: the bits that the right accompaniment saves, and the ladder."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 3))
    against = ("none", "shuffled")
    saved = [report.likelihood[f"bits/s saved against {name}"] for name in against]
    left.bar(against, [each.mean for each in saved], yerr=_errors(saved), capsize=3, color=COLOUR)
    left.axhline(0, color="black", linewidth=0.8)
    left.set_ylabel("bits per second of music")
    left.set_title("saved by the right accompaniment")
    width = 0.8 / len(report.comparison)
    for index, rung in enumerate(report.comparison):
        shares = [rung.figures[name] for name in SHARES]
        places = [
            column + (index - (len(report.comparison) - 1) / 2) * width for column in range(4)
        ]
        grey = 0.85 * (1 - index / (len(report.comparison) - 1))
        ours = rung.name in (OURS, OURS_FROM_MIX)
        means = [share.mean for share in shares]
        right.bar(
            places,
            means,
            width,
            yerr=_errors(shares),
            capsize=2,
            color=COLOUR if ours else str(grey),
            edgecolor="white",
            linewidth=0,
            hatch="//" if rung.name == OURS_FROM_MIX else None,
            label=rung.name,
        )
    right.set_xticks(range(4), [name.replace("_", " ") for name in SHARES])
    right.set_ylim(0, 1.02)
    right.set_title("how the bass fits the song")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    figure.savefig(path, format="png", dpi=130)


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Distances of the bounds from the mean, as matplotlib wants them."""
    return [[e.mean - e.low for e in estimates], [e.high - e.mean for e in estimates]]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
