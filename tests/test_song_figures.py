"""Models are compared song by song from saved reports."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from shared.bootstrap import bootstrap_mean
from shared.errors import UserError
from shared.json_files import write_json
from shared.song_figures import SongFigures, comparison_table, part_measured, read_reports

PART = part_measured("test", 20.0)
A = SongFigures(PART, ("x", "y", "z"), {"fit": (0.1, 0.4, math.nan), "own": (1.0, 1.0, 1.0)})
B = SongFigures(PART, ("z", "y", "x"), {"fit": (0.9, 0.6, 0.5)})


def save(folder: Path, **models: SongFigures) -> Path:
    folder.mkdir()
    content = {"by_song": {name: asdict(each) for name, each in models.items()}}
    write_json(folder / "report.json", content)
    return folder


def test_each_song_is_compared_with_itself(tmp_path: Path) -> None:
    found = read_reports([save(tmp_path / "a", A=A), save(tmp_path / "b", B=B)])
    table = comparison_table(found)
    assert "3 songs (split test, 20 s of the middle of each song)" in table
    (row,) = table.splitlines()[-1:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "fit",
        str(bootstrap_mean([0.1, 0.4])),
        str(bootstrap_mean([0.5, 0.6, 0.9])),
        str(bootstrap_mean([0.4, 0.2])),  # x and y; z has no value of A
    ]
    assert "| figure | A | B | B minus A |" in table


def test_only_common_songs_count() -> None:
    one = SongFigures(PART, ("x", "y"), {"fit": (1.0, 2.0)})
    other = SongFigures(PART, ("y", "w"), {"fit": (5.0, 7.0)})
    table = comparison_table({"one": one, "other": other})
    assert table.startswith("1 songs")
    assert table.splitlines()[-1].endswith("| 3.00 [3.00, 3.00] |")


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, two = save(tmp_path / "a", prior=A), save(tmp_path / "b", prior=B, other=B)
    assert list(read_reports([one, two])) == [f"{one}: prior", f"{two}: prior", "other"]


def test_the_command_prints_the_table(tmp_path: Path) -> None:
    folders = [str(save(tmp_path / "a", A=A)), str(save(tmp_path / "b", B=B))]
    result = CliRunner().invoke(cli.app, ["compare", *folders])
    assert result.stdout == comparison_table(read_reports(list(map(Path, folders)))) + "\n"


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    other = SongFigures(part_measured("test", None), ("x",), {"fit": (0.1,)})
    elsewhere = SongFigures(PART, ("q",), {"fit": (0.1,)})
    unlike = SongFigures(PART, ("x",), {"sdr": (0.1,)})
    for models, message in (
        ({"A": A}, "only one model"),
        ({"A": A, "B": other}, "different parts .*whole songs"),
        ({"A": A, "B": elsewhere}, "A, B have no song in common"),
        ({"A": A, "B": unlike}, "no figure in common"),
    ):
        with pytest.raises(UserError, match=message):
            comparison_table(models)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no report.json in"),
        ("{", "has no figures of single songs"),
        ("[]", "has no figures of single songs"),
        ('{"by_song": {"A": {}}}', "has no figures of single songs"),
        ('{"by_song": {"A": {"part": "p", "songs": ["x"], "values": {"f": [1, 2]}}}}', "has no"),
    ],
)
def test_reports_that_cannot_be_read(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_reports([tmp_path])


def test_a_report_is_named_once(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", A=A)
    with pytest.raises(UserError, match="is given twice"):
        read_reports([folder, tmp_path / "b" / ".." / "a"])


def test_nan_is_null_on_disk(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", A=A)
    content = json.loads((folder / "report.json").read_text())
    assert content["by_song"]["A"]["values"]["fit"] == [0.1, 0.4, None]
    assert math.isnan(read_reports([folder])["A"].values["fit"][2])
