"""Tables say what the file holds; pictures are written and show what they should."""

from io import StringIO

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from shared.codes.song_codes import SongCodes
from shared.codes.views import frames_table, save_codes_picture, sources_table, summary_table
from shared.errors import UserError
from shared.music.notes import Note, notes_to_tokens
from shared.plots import save_generation_picture
from shared.sources import SOURCES


@pytest.fixture
def song() -> SongCodes:
    codes = np.zeros((4, 2, 50), np.uint16)
    codes[1] = np.arange(100).reshape(2, 50) % 8
    return SongCodes(
        track="A - B",
        split="test",
        sources=SOURCES,
        sample_rate=100,
        hop=10,
        num_samples=500,
        fingerprint="toy-1",
        gain=0.5,
        rms={"vocals": 0.0, "bass": 0.1, "drums": 0.01, "other": 1.0},
        views={"alone": codes},
        notes=notes_to_tokens([Note(0, 1, 40), Note(1, 1, 43)], 50, 10.0),
        note_confidence=np.full(50, 0.5, np.float32),
        song={"tempo": 120, "key": "A minor"},
    )


def text(table: Table) -> str:
    console = Console(file=StringIO(), width=160)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_summary_says_what_the_file_holds(song):
    shown = text(summary_table(song))
    for fact in ("A - B", "5.00 s", "50, 10.00 per second", "toy-1", "2, mean confidence 0.50",
                 "tempo, key"):  # fmt: skip
        assert fact in shown


def test_sources_show_level_and_usage(song):
    rows = text(sources_table(song, "alone")).splitlines()
    vocals = next(row for row in rows if "vocals" in row)
    bass = next(row for row in rows if "bass" in row)
    table = [[cell.strip() for cell in row.strip("│").split("│")] for row in (vocals, bass)]
    assert table[0][1:4] == ["silent", "1.0", "1.0"]  # a constant stream
    assert table[1][1:4] == ["-20.0", "8.0", "8.0"]  # of 8 entries, about equally often


def test_frames_show_the_codes(song):
    rows = text(frames_table(song, "alone", start=1.0, num_frames=4)).splitlines()
    bass = next(row for row in rows if "bass" in row)
    assert [cell.strip() for cell in bass.strip("│").split("│")][2:] == ["2", "3", "4", "5"]
    with pytest.raises(UserError, match="7 s lies outside 'A - B'"):
        frames_table(song, "alone", start=7.0)


def test_the_codes_picture_is_written(song, tmp_path):
    save_codes_picture(tmp_path / "codes.png", song, "alone")
    picture = matplotlib.image.imread(tmp_path / "codes.png")
    assert picture.shape[1] == 1320
    assert [file.name for file in tmp_path.iterdir()] == ["codes.png"]


@pytest.mark.parametrize("num_samples", [50, 22_050])
def test_the_generation_picture_is_written(tmp_path, num_samples):
    random = np.random.default_rng(0)
    audio = random.standard_normal((2, num_samples)).astype(np.float32)
    notes = [Note(0.1, 0.2, 40), Note(0.5, 0.2, 45)]
    save_generation_picture(tmp_path / "a.png", audio, 0 * audio, 22_050, notes, "A - B")
    save_generation_picture(tmp_path / "b.png", audio, audio, 22_050, [], "A - B")
    first, second = (matplotlib.image.imread(tmp_path / name) for name in ("a.png", "b.png"))
    assert first.shape == second.shape
    assert (first != second).any()
