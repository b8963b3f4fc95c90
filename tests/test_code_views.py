"""Tables show what a codes file holds; pictures are written."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from shared.codes.song_codes import SongCodes
from shared.codes.views import frames_table, save_codes_picture, sources_table, summary_table
from shared.errors import UserError
from shared.music.notes import Note, notes_to_tokens
from shared.piano_roll import draw_notes
from shared.plots import draw_spectrogram, new_figure, save_generation_picture
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
        num_samples=495,
        fingerprint="toy-1",
        gain=0.5,
        rms={"vocals": 0.0, "bass": 0.1, "drums": 0.01, "other": 1.0},
        views={"alone": codes},
        notes=notes_to_tokens([Note(0, 1, 40), Note(1, 1, 43)], 50, 10.0),
        note_confidence=np.full(50, 0.5, np.float32),
        song={"tempo": 120, "key": "A minor"},
    )


def text(table: Table) -> str:
    shown = StringIO()
    Console(file=shown, width=160).print(table)
    return shown.getvalue()


def test_summary_says_what_the_file_holds(song: SongCodes) -> None:
    shown = text(summary_table(song))
    for fact in (
        "A - B",
        "4.95 s, 495 samples at 100 Hz",
        "50, 10.00 per second",
        "toy-1",
        "2, mean confidence 0.50",
        "tempo, key",
    ):
        assert fact in shown


def test_sources_show_level_and_usage(song: SongCodes) -> None:
    rows = text(sources_table(song, "alone")).splitlines()
    vocals = next(row for row in rows if "vocals" in row)
    bass = next(row for row in rows if "bass" in row)
    table = [[cell.strip() for cell in row.strip("│").split("│")] for row in (vocals, bass)]
    assert table[0][1:5] == ["silent", "1.0", "1.0", "0"]  # a constant stream
    # Two codebooks of 8 entries, which are used about equally often: 3 bits, ten times a second.
    assert table[1][1:5] == ["-20.0", "8.0", "8.0", "60"]


def test_frames_show_the_codes(song: SongCodes) -> None:
    rows = text(frames_table(song, "alone", start=1.0, num_frames=4)).splitlines()
    bass = next(row for row in rows if "bass" in row)
    assert [cell.strip() for cell in bass.strip("│").split("│")][2:] == ["2", "3", "4", "5"]
    with pytest.raises(UserError, match=r"0:07 is after the end of 'A - B', which lasts 4\.95 s"):
        frames_table(song, "alone", start=7.0)


def test_the_codes_picture_is_written(song: SongCodes, tmp_path: Path) -> None:
    save_codes_picture(tmp_path / "codes.png", song, "alone")
    picture = matplotlib.image.imread(tmp_path / "codes.png")
    assert picture.shape[1] == 1320
    assert [file.name for file in tmp_path.iterdir()] == ["codes.png"]


@pytest.mark.parametrize("num_samples", [50, 22_050])
def test_the_generation_picture_is_written(tmp_path: Path, num_samples: int) -> None:
    random = np.random.default_rng(0)
    audio = random.standard_normal((2, num_samples)).astype(np.float32)
    notes = [Note(0.1, 0.2, 40), Note(0.5, 0.2, 45)]
    save_generation_picture(tmp_path / "a.png", audio, 0 * audio, 22_050, notes, "A - B")
    save_generation_picture(tmp_path / "b.png", audio, audio, 22_050, [], "A - B")
    first, second = (matplotlib.image.imread(tmp_path / name) for name in ("a.png", "b.png"))
    assert first.shape == second.shape
    assert (first != second).any()


def test_a_spectrogram_shows_a_tone_where_and_when_it_sounds() -> None:
    rate = 8000
    time = np.arange(4 * rate) / rate
    tone = np.where(time < 2, np.sin(2 * np.pi * 100 * time), np.sin(2 * np.pi * 400 * time))
    _, (axis,) = new_figure(rows=1, height=2.0)
    audio = np.stack([tone, tone]).astype(np.float32)
    draw_spectrogram(axis, audio, rate, low=25.0, high=1600.0, n_fft=1024)
    (image,) = axis.images
    levels = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    assert (left, bottom, top) == (0, np.log2(25.0), np.log2(1600.0))
    assert right == pytest.approx(4.0, abs=0.05)
    columns = [round(second / right * levels.shape[1]) for second in (1, 3)]
    loudest = levels[:, columns].argmax(0) / (len(levels) - 1)
    np.testing.assert_allclose(25 * 64**loudest, [100, 400], rtol=0.03)
    assert levels.max() == pytest.approx(0, abs=1e-6)


def test_a_piano_roll_has_a_bar_for_each_note() -> None:
    _, (axis,) = new_figure(rows=1, height=2.0)
    axis.set_xlim(0, 3)
    draw_notes(axis, [Note(0.5, 1.0, 40), Note(2.0, 0.25, 43)])
    (bars,) = axis.collections
    boxes = [path.get_extents().bounds for path in bars.get_paths()]
    np.testing.assert_allclose(boxes, [(0.5, 39.55, 1.0, 0.9), (2.0, 42.55, 0.25, 0.9)])
    assert axis.get_ylim() == (38, 45)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["E2", "G2", "A2"]


@pytest.mark.filterwarnings("error")
def test_names_that_no_font_and_no_formula_has(song: SongCodes, tmp_path: Path) -> None:
    name = "\udcff $x^$ 曲"
    save_codes_picture(tmp_path / "a.png", replace(song, track=name), "alone")
    silence = np.zeros((2, 4410), np.float32)
    save_generation_picture(tmp_path / "b.png", silence, silence, 44_100, (), name)
    for file in ("a.png", "b.png"):
        assert (tmp_path / file).read_bytes().startswith(b"\x89PNG")
