"""The report of `evaluate-prior`: as data, as a page of Markdown, and as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.bootstrap import Estimate
from shared.plots import drawable, save_figure
from shared.song_figures import SongFigures
from stage2_prior.frechet import EMBEDDING
from stage2_prior.likelihood import WINDOWS_A_SONG
from stage2_prior.sampling import SamplingSettings

SHARES = ("root_on_downbeats", "chord_tones", "grid_f1", "onset_f1", "pitch_class")
FORM = (
    "short_notes",
    "wide_leaps",
    "outside_range",
    "repetition",
    "note_onset_f1",
    "disagreement",
)
COLUMNS = (*SHARES, "voiced_share", "num_notes", "lowest", "highest", "rms_db")
REMOVED = ", bass removed from the mixture"
GENERATED = "generated"
GENERATED_FROM_MIXTURE = GENERATED + REMOVED
TRUE_FROM_CODES, TRUE = "true bass, from its codes", "true bass"


def generated_row(prior: str | None, mixed: bool) -> str:
    """Name the row of the lines that a prior generated.

    Args:
        prior: the prior, or None if it is the only one.
        mixed: whether the bass was removed from the mixture for these lines.
    """
    by = "" if prior is None else f" by {prior}"
    return f"{GENERATED}{by}{REMOVED if mixed else ''}"


@dataclass(frozen=True)
class ComparisonRow:
    """One kind of bass line, and how well it fits the songs.

    Attributes:
        name: what kind it is.
        figures: means of the figures of shared/music/bass_metrics.py and line_form.py.
        frechet: the Frechet distance (frechet.py) from the last row of the comparison.
        prior: the prior that generated it; None where no prior did.
        from_mixture: whether its songs had a bass, which was removed from the mixture.
    """

    name: str
    figures: Mapping[str, Estimate]
    frechet: float
    prior: str | None = None
    from_mixture: bool = False


@dataclass(frozen=True)
class Difference:
    """How much the lines of two priors, or of a prior and a baseline, differ, song by song.

    Attributes:
        name: which lines are compared, as in "B minus A".
        figures: means of the differences of all figures of a comparison row.
    """

    name: str
    figures: Mapping[str, Estimate]


@dataclass(frozen=True)
class Section:
    """A question about the prior, and the figures that answer it."""

    name: str
    question: str
    figures: Mapping[str, Estimate]


@dataclass(frozen=True)
class PriorFigures:
    """What was measured of one prior.

    Attributes:
        name: what the report calls it.
        fingerprint: the fingerprint of its weights.
        settings: how lines were sampled.
        seeds: the seed that was used for each song.
        window_seconds: the length of the windows in which the likelihood was measured.
        likelihood: bits per second and per code, and what the right accompaniment saves.
        sections: the questions, in the order in which failures arise.
    """

    name: str
    fingerprint: str
    settings: SamplingSettings
    seeds: tuple[int, ...]
    window_seconds: float
    likelihood: Mapping[str, Estimate]
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class PriorReport:
    """The content of report.json. Figures are means over songs with 95 % bootstrap intervals.

    Attributes:
        split: the split that the songs are of; "all" for every split.
        songs: the names of the songs.
        seconds: how much of each song was evaluated.
        codec: the fingerprint of the codec.
        sound: what rendered the lines, as BassSound.description says.
        priors: the priors, each with its own figures. All answer the same questions.
        comparison: the kinds of bass lines, from silence to the true bass.
        differences: each prior compared with each one before it, and with each simple line.
        by_song: how well the lines of each prior fit each song.
    """

    split: str
    songs: tuple[str, ...]
    seconds: float
    codec: str
    sound: Mapping[str, Any]
    priors: tuple[PriorFigures, ...]
    comparison: tuple[ComparisonRow, ...]
    differences: tuple[Difference, ...]
    by_song: Mapping[str, SongFigures]


def report_markdown(report: PriorReport) -> str:
    """Write the report as a page of Markdown. Figures that no row has are left out."""
    windows = " or ".join(dict.fromkeys(f"{prior.window_seconds:g} s" for prior in report.priors))
    form = [row for row in report.comparison if known_figures(FORM, [row])]
    parts = [
        "# Priors on songs they were not trained on"
        if len(report.priors) > 1
        else "# The prior on songs it was not trained on",
        f"{len(report.songs)} songs{_of_split(report.split)}, {report.seconds:g} s from the "
        f"middle of each; codec `{report.codec}`; sound `{report.sound['name']}`. The brackets "
        "hold 95 % bootstrap intervals over songs.",
        "\n".join(map(_prior_line, report.priors)),
        "## Comparison",
        "The figures are judged by the sound alone, with pyin as the pitch tracker. Every line "
        f"except silence and '{TRUE}' (the stem, if there is such a row) is decoded from codes, "
        "and its attacks are shaped by its own notes where they are known. Where a song does not "
        "name the notes of its bass, a pitch tracker found them in the stem.",
        _comparison_table(COLUMNS, report.comparison),
        f"Frechet is the distance from '{report.comparison[-1].name}'. Embedding: {EMBEDDING}.",
        "## Form",
        "These figures are judged by the notes of the lines, and the last one also by their sound.",
        rows_table(FORM, form),
        *_differences(report),
        "## Likelihood",
        "The true bass is the history of every prediction. The figures are measured in at most "
        f"{WINDOWS_A_SONG} windows of {windows} a song. The codes depend on the song only through "
        "their notes, so everything that the song saves, it saves at the notes. Even without the "
        "song, its bars are given.",
        _figures_table({prior.name: prior.likelihood for prior in report.priors}),
        "## Where failures arise",
        "Each section tests one step of generation, in the order of the steps.",
        *(
            f"### {number}. {section.name}\n\n{section.question}\n\n"
            + _figures_table(
                {prior.name: prior.sections[number - 1].figures for prior in report.priors}
            )
            for number, section in enumerate(report.priors[0].sections, 1)
        ),
    ]
    return "\n\n".join(parts) + "\n"


def draw_report(report: PriorReport, path: Path) -> None:
    """Draw a PNG with the bits that the right accompaniment saves, and the comparison."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    colours = {prior.name: f"C{number + 1}" for number, prior in enumerate(report.priors)}

    def draw_saved_bits(axis: Axes) -> None:
        against = ("none", "shuffled")
        width = 0.8 / len(report.priors)
        for index, prior in enumerate(report.priors):
            saved = [prior.likelihood[f"bits/s saved against {name}"] for name in against]
            axis.bar(
                _places(len(against), index, len(report.priors)),
                [each.mean for each in saved],
                width,
                yerr=_errors(saved),
                capsize=3,
                color=colours[prior.name],
            )
        axis.set_xticks(range(len(against)), against)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_ylabel("bits per second of the notes")
        axis.set_title("saved by the right accompaniment")

    def draw_comparison(axis: Axes) -> None:
        columns = known_figures(SHARES, report.comparison)
        rows = len(report.comparison)
        for index, row in enumerate(report.comparison):
            shares = [row.figures[name] for name in columns]
            axis.bar(
                _places(len(columns), index, rows),
                [share.mean for share in shares],
                0.8 / rows,
                yerr=_errors(shares),
                capsize=2,
                color=colours[row.prior] if row.prior else str(0.85 * (1 - index / (rows - 1))),
                edgecolor="white",
                linewidth=0,
                hatch="//" if row.from_mixture else None,
                label=drawable(row.name),
            )
        axis.set_xticks(range(len(columns)), list(map(_spoken, columns)))
        axis.set_ylim(0, 1.02)
        axis.set_title("how the bass fits the song")

    figure = Figure(figsize=(12, 4.6), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 3))
    draw_saved_bits(left)
    draw_comparison(right)
    # Names may hold what matplotlib would read as a formula.
    for label in figure.legend(loc="outside lower center", ncols=3, fontsize=9).get_texts():
        label.set_parse_math(False)
    save_figure(figure, path)


def _places(columns: int, index: int, rows: int) -> list[float]:
    """Return where the bars of a row are: one in each column, beside those of the other rows."""
    return [column + (index - (rows - 1) / 2) * 0.8 / rows for column in range(columns)]


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Return the distances of the bounds from the means, as matplotlib expects them."""
    return [[e.mean - e.low for e in estimates], [e.high - e.mean for e in estimates]]


def known_figures(names: Sequence[str], rows: Sequence[ComparisonRow | Difference]) -> list[str]:
    """Return the figures for which at least one row has a value."""
    return [name for name in names if any(row.figures[name].songs for row in rows)]


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _of_split(split: str) -> str:
    return "" if split == "all" else f" of the split `{split}`"


def _prior_line(prior: PriorFigures) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in vars(prior.settings).items())
    return f"- Prior `{prior.name}` (fingerprint `{prior.fingerprint}`). Sampling: {settings}."


def _differences(report: PriorReport) -> list[str]:
    """Write the section about differences between lines, if any were compared."""
    if not report.differences:
        return []
    return [
        "## Differences",
        "The figures of one prior's lines minus those of other lines, song by song.",
        *(rows_table(names, report.differences) for names in ((*SHARES, "voiced_share"), FORM)),
    ]


def _figures_table(figures: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Write one row for each figure that is known, and one column for each prior."""
    header = ("", "mean [95 %]") if len(figures) == 1 else ("mean [95 %]", *figures)
    first = next(iter(figures.values()))
    rows = [
        (name, *(str(each[name]) for each in figures.values()))
        for name in first
        if any(each[name].songs for each in figures.values())
    ]
    return _table(header, rows)


def _comparison_table(names: Sequence[str], rows: Sequence[ComparisonRow]) -> str:
    known = known_figures(names, rows)
    header = ("bass", *map(_spoken, known), "Frechet")
    cells = [(*_cells(row, known), f"{row.frechet:.1f}") for row in rows]
    return _table(header, cells)


def rows_table(names: Sequence[str], rows: Sequence[ComparisonRow | Difference]) -> str:
    """Write one row for each line and one column for each figure that any of them has."""
    known = known_figures(names, rows)
    return _table(("bass", *map(_spoken, known)), [_cells(row, known) for row in rows])


def _cells(row: ComparisonRow | Difference, names: Sequence[str]) -> tuple[str, ...]:
    return (row.name, *(str(row.figures[name]) for name in names))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
