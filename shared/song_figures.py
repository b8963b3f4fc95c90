"""Compare models song by song, from figures that reports have saved.

A report of `evaluate-vqvae` or `evaluate-prior` (`report.json`) has an object "by_song" that holds
one `SongFigures` for each model.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.bootstrap import bootstrap_mean
from shared.errors import UserError, require

REPORT_NAME = "report.json"
KEY = "by_song"


@dataclass(frozen=True)
class SongFigures:
    """What was measured of one model, song by song.

    Attributes:
        part: which part of which songs was measured; figures of other parts cannot be compared.
        songs: the names of the songs.
        values: one value for each song by the name of the figure; nan where there is none.
    """

    part: str
    songs: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "SongFigures":
        """Read what a report holds; ValueError, LookupError or TypeError where that is damaged."""
        values = {
            str(name): tuple(float("nan") if x is None else float(x) for x in column)
            for name, column in content["values"].items()
        }
        songs = tuple(map(str, content["songs"]))
        if any(len(column) != len(songs) for column in values.values()):
            raise ValueError("a figure has not one value for each song")
        return cls(str(content["part"]), songs, values)

    def of(self, figure: str, songs: Sequence[str]) -> list[float]:
        """Return a figure of some of the songs, in their order."""
        by_song = dict(zip(self.songs, self.values[figure], strict=True))
        return [by_song[song] for song in songs]


def part_measured(split: str, seconds: float | None) -> str:
    """Describe which part of which songs was measured."""
    extent = "whole songs" if seconds is None else f"{seconds:g} s of the middle of each song"
    return f"split {split}, {extent}"


def read_reports(folders: Sequence[Path]) -> dict[str, SongFigures]:
    """Read the figures of all models of several reports, by the names of the models.

    Where two reports name a model alike, the names of the folders are put before it.

    Args:
        folders: the folders of the reports.

    Raises:
        UserError: a folder is given twice, or has no report with figures of songs.
    """
    repeated = [path for path, n in Counter(path.resolve() for path in folders).items() if n > 1]
    require(
        not repeated, f"the report {', '.join(map(str, repeated))} is given twice: give it once"
    )
    found = [(folder, name, figures) for folder in folders for name, figures in _read(folder)]
    uses = Counter(name for _, name, _ in found)
    return {
        name if uses[name] == 1 else f"{folder}: {name}": figures for folder, name, figures in found
    }


def comparison_table(models: Mapping[str, SongFigures]) -> str:
    """Compare models on the songs that all of them were measured on, as a Markdown table.

    Each figure of all models has a row: the mean of each model, and how much every later model
    differs from the first, song by song, with 95 % bootstrap intervals.

    Raises:
        UserError: there is only one model, they were measured on different parts, or they have no
            song or no figure in common.
    """
    require(len(models) > 1, "there is only one model in these reports: name another report")
    names, figures = list(models), list(models.values())
    parts = list(dict.fromkeys(each.part for each in figures))
    require(
        len(parts) == 1,
        f"the models were measured on different parts ({'; '.join(parts)}): measure all alike",
    )
    songs = [song for song in figures[0].songs if all(song in each.songs for each in figures)]
    shared = [name for name in figures[0].values if all(name in each.values for each in figures)]
    require(
        bool(songs and shared),
        f"{', '.join(names)} have no {'figure' if songs else 'song'} in common: measure them on "
        "the same songs",
    )
    header = ["figure", *names, *(f"{name} minus {names[0]}" for name in names[1:])]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for figure in shared:
        columns = [each.of(figure, songs) for each in figures]
        differences = [
            bootstrap_mean(late - early for early, late in zip(columns[0], column, strict=True))
            for column in columns[1:]
        ]
        lines.append([figure, *map(str, [*map(bootstrap_mean, columns), *differences])])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return (
        f"{len(songs)} songs ({parts[0]}). Means over songs and differences song by song, with "
        f"95 % bootstrap intervals.\n\n{table}"
    )


def _read(folder: Path) -> list[tuple[str, SongFigures]]:
    file = folder / REPORT_NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))[KEY]
        return [(name, SongFigures.from_json(each)) for name, each in content.items()]
    except OSError as error:
        raise UserError(
            f"there is no {REPORT_NAME} in {folder}: name folders into which evaluate-vqvae or "
            "evaluate-prior has written"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{file} has no figures of single songs: run evaluate-vqvae or evaluate-prior again"
        ) from error
