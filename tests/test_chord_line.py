from pathlib import Path

import numpy as np
import pytest

from shared.errors import UserError
from shared.music.bar_grid import STEPS, BarGrid
from shared.music.chord import Chord
from stage2_prior.chord_line import (
    describe_placement,
    limits_on_grid,
    names_file,
    place_chords,
    read_chord_file,
    read_chords,
)

# 120 beats a minute; the first downbeat is at 0.42 s, and the song has five and a half bars after.
GRID = BarGrid.of((0.42 + 0.5 * np.arange(23)).tolist(), [0.42, 2.42], 11.42)
DURATION = 11.42


def placed(text: str, grid: BarGrid = GRID, duration: float = DURATION) -> list[tuple[str, float]]:
    """The symbols and the beginnings of the chords."""
    return [(chord.symbol, round(chord.start, 6)) for chord in place_chords(text, grid, duration)]


def test_a_chord_file(tmp_path: Path) -> None:
    path = tmp_path / "chords.txt"
    path.write_text("# my song\n0:01 Am\n\n2.5 F/A\n3 N\n0:04 C\n99 G\n")
    assert read_chord_file(path, duration=5.0) == (
        Chord(1.0, 2.5, 9, "min", 9),
        Chord(2.5, 3.0, 5, "maj", 9),
        Chord(4.0, 5.0, 0, "maj", 0),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Am\n", "line 1 .* not a time and a chord"),
        ("0 Am\nx F\n", "in line 2 .* 'x' is not a time"),
        ("2 Am\n1 F\n", "line 2 .* not later"),
        ("0 Am\n\n1 Q\n", "in line 3 .* 'Q' is not a chord"),
        ("9 Am\n", "no chord within"),
    ],
)
def test_a_bad_chord_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "chords.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_chord_file(path, duration=5.0)
    with pytest.raises(UserError, match="cannot read"):
        read_chord_file(tmp_path / "none.txt", duration=5.0)


def test_a_progression_has_a_chord_a_bar_and_begins_anew_until_the_song_ends() -> None:
    chords = place_chords("Cm Ab Eb Bb", GRID, DURATION)
    assert [chord.symbol for chord in chords] == ["Cm", "Ab", "Eb", "Bb", "Cm", "Ab"]
    np.testing.assert_allclose([chord.start for chord in chords], 0.42 + 2 * np.arange(6))
    np.testing.assert_allclose(
        [chord.end for chord in chords], [*(2.42 + 2 * np.arange(5)), DURATION]
    )


@pytest.mark.parametrize("beats_a_bar", [2, 3, 4, 5])
@pytest.mark.parametrize("downbeat", [0.0, 0.3, 1.9])
@pytest.mark.parametrize("progression", ["C", "C N", "C F/A Bb", "C Dm7 N G F Am Bb"])
def test_bar_n_has_chord_n_whatever_the_metre_and_the_first_downbeat(
    progression: str, downbeat: float, beats_a_bar: int
) -> None:
    beats = downbeat + np.linspace(-2, 14.5, 34)
    grid = BarGrid(beats, np.arange(4, 34, beats_a_bar))
    symbols = progression.split()
    expected = [
        (symbols[bar % len(symbols)], round(float(time), 6))
        for bar, time in enumerate(grid.downbeats)
        if time < 12.0
    ]
    assert placed(progression, grid, 12.0) == [each for each in expected if each[0] != "N"]


@pytest.mark.parametrize(
    ("text", "bars"),
    [
        ("Cm | Ab Eb | Bb", ["Cm", "Ab 2 Eb", "Bb", "Cm", "Ab 2 Eb", "Bb"]),
        ("| Am | F C |", ["Am", "F 2 C"] * 3),
        ("Am || F C G", ["Am", "F 1.333333 C 2.666667 G"] * 3),
        ("Am Am F", ["Am", "Am", "F"] * 2),
        ("Am % F .", ["Am", "Am", "F", "F"] * 2),
        ("F C | % | G", ["F 2 C", "F 2 C", "G"] * 2),
        ("Am . . F | .", ["Am 3 F"] * 6),
        ("Am F | % C", ["Am 2 F", "F 2 C"] * 3),
        ("Am | N | N.C. F | NC", ["Am", "", "2 F", "", "Am", ""]),
    ],
)
def test_the_bars_of_a_progression(text: str, bars: list[str]) -> None:
    """A number is the beat on which the next chord begins; without one it begins the bar."""
    expected = []
    for bar, content in enumerate(bars):
        words = content.split()
        for before, word in zip(["", *words], words, strict=False):
            beat = float(before) if before[:1].isdigit() else 0.0
            start = 0.42 + 2 * bar + 0.5 * beat
            if not word[0].isdigit() and start < DURATION:
                expected.append((word, pytest.approx(start)))
    assert placed(text) == expected


def test_a_song_that_begins_just_after_a_downbeat_has_this_bar() -> None:
    late = BarGrid(-0.1 + np.linspace(0, 14.5, 30), np.array([0, 4, 8, 12]))
    assert placed("C F", late)[:2] == [("C", 0.0), ("F", 1.9)]
    limits = limits_on_grid(place_chords("C F", late, DURATION), late)
    assert limits.must_begin[[0, 4 * STEPS]].all()
    much_later = BarGrid(-0.3 + np.linspace(0, 14.5, 30), np.array([0, 4, 8, 12]))
    assert placed("C F", much_later)[:2] == [("C", 1.7), ("F", 3.7)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no chords"),
        (" | ", "there are no chords"),
        ("N N", "only rests"),
        ("% Am", "nothing before '%'"),
        ("Am | . F | | C", "bar 3 of the chords is empty"),
        ("Am | H", "in bar 2 of the chords, 'H' is not a chord"),
        ("Am | C C C C C C C C C", "in bar 2 of the chords, there are 9 chords"),
    ],
)
def test_what_is_no_progression(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        place_chords(text, GRID, DURATION)


def test_a_song_without_a_whole_bar_has_no_place_for_chords() -> None:
    with pytest.raises(UserError, match="no bar begins"):
        place_chords("Am", GRID, 0.3)


def test_the_placement_is_described() -> None:
    chords = place_chords("Cm | Ab Eb | Cm | Bb", GRID, DURATION)
    assert describe_placement(chords, GRID).splitlines() == [
        "Cm from 0.42 s: bars 1, 3, 5",
        "Ab from 2.42 s: bars 2, 6",
        "Eb from 3.42 s: bar 2",
        "Bb from 6.42 s: bar 4",
    ]
    many = BarGrid.of((0.5 * np.arange(80)).tolist(), [0.0], 40.0)
    assert describe_placement(place_chords("C", many, 40.0), many) == (
        "C from 0.00 s: bars 1, 2, 3, 4, 5, 6, ..., 20"
    )


def test_every_chord_opens_on_its_bass_and_then_has_its_tones() -> None:
    chords = place_chords("C/E | N | Am G", GRID, DURATION)
    limits = limits_on_grid(chords, GRID)
    first = STEPS * int(GRID.bar_starts[0])
    bar = 4 * STEPS
    assert limits.pitch_classes.shape == (GRID.positions, 12)
    assert limits.pitch_classes[:first].all()
    begins = first + np.array([0, 2 * bar, 2 * bar + bar // 2])
    for begin, bass in zip(begins, (4, 9, 7), strict=True):
        assert np.flatnonzero(limits.pitch_classes[begin]).tolist() == [bass]
    assert np.flatnonzero(limits.must_begin)[:3].tolist() == begins.tolist()
    assert np.flatnonzero(limits.pitch_classes[first + 1]).tolist() == [0, 4, 7]
    assert np.flatnonzero(limits.pitch_classes[first + bar - 1]).tolist() == [0, 4, 7]
    assert limits.pitch_classes[first + bar : first + 2 * bar].all()


def test_chords_are_a_progression_or_the_name_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "chords.txt"
    path.write_text("1 Am\n")
    assert read_chords(str(path), GRID, DURATION) == (Chord(1.0, DURATION, 9, "min", 9),)
    assert read_chords("Am", GRID, DURATION) == place_chords("Am", GRID, DURATION)
    with pytest.raises(UserError, match="cannot read the chord file"):
        read_chords("none.txt", GRID, DURATION)
    for text in ("Am . . F", "Am | N.C. | F", "Bb/D .", "C " * 500):
        assert not names_file(text)
