"""What the terminal says about a song and its new bass."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.reporting import rows_table
from stage2_prior.bass_search import BassSearch
from stage2_prior.summary import Summary, pitch_name

GRID = BarGrid(0.5 * np.arange(49, dtype=np.float64), np.arange(0, 49, 4))
C_MINOR, A_FLAT, B_FLAT = (0, "min", 0), (8, "maj", 8), (10, "maj", 10)


def search(share: float) -> BassSearch:
    return BassSearch(decoded=share, separated=share, pitched=share, threshold=0.2)


def test_everything_that_is_known_is_said() -> None:
    chords = [
        Chord(2.0 * bar, 2.0 * bar + 2, *(A_FLAT if bar % 2 else C_MINOR)) for bar in range(8)
    ]
    chords += [Chord(16, 17, *B_FLAT), Chord(17, 18, *A_FLAT)]
    summary = Summary(
        notes=[Note(0, 1, 28), Note(1, 1, 55)],
        grid=GRID,
        key="C minor",
        chords=chords,
        search=search(0.41),
        bass_removed=True,
        level=-3.04,
    )
    assert summary.rows == {
        "tempo": "120.0 beats per minute",
        "meter": "4/4",
        "key": "C minor",
        "chords": "| Cm | Ab | Cm | Ab |  x2\n| Bb Ab |",
        "own bass": "found, clearly (share 0.41, from 0.20 on it counts), and removed",
        "new bass": "2 notes, E1-G3",
        "level": "3.0 dB below the song",
    }
    shown = StringIO()
    Console(file=shown, width=80).print(rows_table(summary.rows))
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert lines[0] == "tempo     120.0 beats per minute"
    assert lines[3:5] == ["chords    | Cm | Ab | Cm | Ab |  x2", "          | Bb Ab |"]


def test_the_chords_of_the_user_are_placed() -> None:
    rows = Summary(notes=[], grid=GRID, placement="Cm from 0.00 s: bars 1, 2").rows
    assert rows["placement"] == "Cm from 0.00 s: bars 1, 2"


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert Summary(notes=[]).rows == {
        "own bass": "not looked for; the song is left as it is",
        "new bass": "no notes",
    }
    assert Summary(notes=[], silent=True).rows == {"song": "it is silent, and so is its bass"}


@pytest.mark.parametrize(
    ("share", "removed", "expected"),
    [
        (0.21, True, "found, but only just (share 0.21, from 0.20 on it counts), and removed"),
        (0.05, False, "not found, clearly (share 0.05, from 0.20 on it counts)"),
        (
            0.19,
            True,
            "not found, but only just (share 0.19, from 0.20 on it counts); "
            "what there was is removed",
        ),
    ],
)
def test_how_sure_it_is_that_the_song_has_a_bass(
    share: float, removed: bool, expected: str
) -> None:
    rows = Summary(notes=[], search=search(share), bass_removed=removed).rows
    assert rows["own bass"] == expected


@pytest.mark.parametrize(("pitch", "name"), [(28, "E1"), (55, "G3"), (60, "C4"), (23, "B0")])
def test_pitches_have_names(pitch: int, name: str) -> None:
    assert pitch_name(pitch) == name


def test_one_note_has_no_range() -> None:
    assert Summary(notes=[Note(0, 1, 30)], level=1.0).rows["new bass"] == "1 note, F#1"
    assert Summary(notes=[], level=1.0).rows["level"] == "1.0 dB above the song"
