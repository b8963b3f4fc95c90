"""Chords as a line of text."""

import numpy as np
import pytest

from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.lead_sheet import lead_sheet

NAMES = {
    "C": (0, "maj", 0),
    "Cm": (0, "min", 0),
    "Eb": (3, "maj", 3),
    "F": (5, "maj", 5),
    "G": (7, "maj", 7),
    "G7": (7, "dom7", 7),
    "Ab": (8, "maj", 8),
    "Bb": (10, "maj", 10),
}
GRID = BarGrid(0.5 * np.arange(29, dtype=np.float64), np.arange(0, 29, 4))


def chords(*events: tuple[float, str], end: float) -> list[Chord]:
    """Chords that begin at beats of GRID, the last of which ends at the beat `end`."""
    starts = [start for start, _ in events]
    return [
        Chord(0.5 * start, 0.5 * stop, *NAMES[symbol])
        for (start, symbol), stop in zip(events, [*starts[1:], end], strict=True)
    ]


def test_bars_are_divided_into_as_few_parts_as_show_the_chords() -> None:
    song = chords((0, "Cm"), (4, "Ab"), (6, "Eb"), (8, "Bb"), (15, "G7"), (16, "Cm"), end=24)
    assert lead_sheet(song, GRID) == "| Cm | Ab Eb | Bb | Bb / / G7 | Cm | Cm |"
    assert lead_sheet(song, GRID, 4) == "| Cm | Ab Eb | Bb | Bb / / G7 |\n| Cm | Cm |"


def test_a_chord_between_two_beats_is_written_on_the_nearest_one() -> None:
    song = chords((0, "C"), (3.6, "F"), (8.3, "G"), end=12)
    assert lead_sheet(song, GRID) == "| C | F | G |"


def test_gaps_are_shown_but_not_at_the_end() -> None:
    song = [*chords((4, "C"), end=6), *chords((8, "F"), end=12)]
    assert lead_sheet(song, GRID) == "| N.C. | C N.C. | F |"
    assert lead_sheet([], GRID) == ""


def test_a_waltz_has_three_parts() -> None:
    grid = BarGrid(0.5 * np.arange(13, dtype=np.float64), np.arange(0, 13, 3))
    assert lead_sheet(chords((0, "C"), (2, "F"), end=6), grid) == "| C / F | F |"


@pytest.mark.parametrize(("first", "expected"), [("G7", "G7 | C | F |"), ("C", "| C | F |")])
def test_a_pickup_stands_before_the_first_bar(first: str, expected: str) -> None:
    grid = BarGrid(0.5 * np.arange(12, dtype=np.float64), np.array([2, 6, 10]))
    assert lead_sheet(chords((0, first), (2, "C"), (6, "F"), end=10), grid) == expected
