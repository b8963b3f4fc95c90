"""Bars, beats and chords above a piano roll."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.piano_roll import draw_bars, draw_chords, draw_notes
from shared.plots import new_figure, save_generation_picture


def empty_axis(start: float, stop: float) -> Axes:
    _, (axis,) = new_figure(rows=1, height=2.0)
    axis.set_xlim(start, stop)
    return axis


def texts(axis: Axes) -> list[tuple[str, float]]:
    return [(text.get_text(), text.xy[0]) for text in axis.texts]  # type: ignore[attr-defined]


def test_louder_notes_are_darker() -> None:
    axis = empty_axis(0, 4)
    draw_notes(axis, [Note(0, 1, 40, 30), Note(1, 1, 40, 80), Note(2, 1, 40, 127)])
    (bars,) = axis.collections
    soft, medium, loud = np.asarray(bars.get_facecolor())[:, :3].sum(1)
    assert soft > medium > loud


def test_a_row_has_its_own_notes_and_the_pitches_of_the_whole_song() -> None:
    axis = empty_axis(2, 4)
    draw_notes(axis, [Note(0, 1, 30), Note(1.5, 1, 40), Note(3, 2, 41), Note(4, 1, 50)])
    (bars,) = axis.collections
    assert [path.get_extents().x0 for path in bars.get_paths()] == [1.5, 3]
    assert axis.get_ylim() == (28, 52)


def test_notes_of_a_long_row_have_no_edge_that_would_hide_them() -> None:
    for seconds, edges in ((10, 1), (500, 0)):
        axis = empty_axis(0, seconds)
        draw_notes(axis, [Note(0, 0.3, 30), Note(1.5, 0.3, 40)])
        (bars,) = axis.collections
        assert len(bars.get_edgecolor()) == edges


def test_bars_that_are_too_close_have_a_line_only_where_they_have_a_number() -> None:
    axis = empty_axis(0, 400)
    draw_bars(axis, BarGrid(0.5 * np.arange(801, dtype=np.float64), np.arange(0, 801, 4)))
    (lines,) = axis.collections
    numbered = [time for _, time in texts(axis)]
    assert [path.get_extents().x0 for path in lines.get_paths()] == numbered
    assert len(numbered) == 25


def test_bars_are_numbered_as_in_the_midi_file_and_beats_are_drawn() -> None:
    axis = empty_axis(0, 6)
    draw_bars(axis, BarGrid(0.5 * np.arange(14, dtype=np.float64), np.array([2, 6, 10])))
    assert texts(axis) == [("1", 0), ("2", 1), ("3", 3), ("4", 5)]
    beats, bars = (lines for lines in axis.collections if isinstance(lines, LineCollection))
    assert [line[0][0] for line in beats.get_segments()] == pytest.approx(0.5 * np.arange(12))
    assert [line[0][0] for line in bars.get_segments()] == pytest.approx([0, 1, 3, 5])


def test_numbers_are_thinned_out_where_there_is_no_room() -> None:
    axis = empty_axis(0, 240)
    grid = BarGrid(0.5 * np.arange(481, dtype=np.float64), np.arange(0, 481, 4))
    draw_bars(axis, grid)
    assert texts(axis)[:3] == [("1", 0), ("5", 8), ("9", 16)]
    assert len(axis.collections) == 1  # bars, and no beats


def test_chords_have_names_where_they_change_and_where_there_is_room() -> None:
    chords = [
        Chord(0, 2, 0, "min", 0),
        Chord(2, 4, 0, "min", 0),
        Chord(4, 4.05, 8, "maj7", 8),
        Chord(4.05, 6, 10, "maj", 10),
        Chord(6, 9, 3, "maj", 3),
    ]
    axis = empty_axis(0, 10)
    draw_chords(axis, chords)
    assert texts(axis) == [("Cm", 0), ("Abmaj7", 4), ("Eb", 6)]
    later = empty_axis(3, 10)
    draw_chords(later, chords)
    assert texts(later)[0] == ("Cm", 3)


def test_a_long_song_has_several_piano_rolls(tmp_path: Path) -> None:
    heights = []
    for name, seconds in (("short", 20), ("long", 100)):
        audio = np.zeros((2, seconds * 500), np.float32)
        beats = 0.3 + 0.5 * np.arange(2 * seconds)
        grid = BarGrid.of(beats.tolist(), beats[::4].tolist(), seconds)
        chords = [Chord(0.3, seconds, 0, "min", 0)]
        path = tmp_path / f"{name}.png"
        save_generation_picture(path, audio, audio, 500, [], r"A $\x_^ 日本", grid, chords)
        heights.append(matplotlib.image.imread(path).shape[0])
    assert heights[1] > heights[0] + 300
