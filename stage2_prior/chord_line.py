"""Chords that the user asks for, and the notes that they allow.

Chords are given as a progression or as a file. A progression has one chord a bar, and begins anew
until the song ends:

    Am F C G            four bars
    Cm | Ab Eb | Bb     `|` separates bars; the chords of a bar share it evenly
    Cm | % | Ab . . Bb  `%` or `.` repeats: alone in a bar, the bar before it; after another
                        chord, that chord, which then lasts longer
    Am | N | F/A        `N` or `NC`: no chord, all notes are allowed

It begins at the first downbeat of the song and is never shifted. A chord file has lines of a time
and a symbol. Each of its chords lasts until the next one:

    0:00    Am
    0:02.5  F/A
    5.0     N
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.errors import UserError, require
from shared.music.bar_grid import STEPS, BarGrid
from shared.music.chord import Chord
from shared.music.chord_notation import ChordName, read_symbol
from shared.music.chord_posterior import LATE_START, positions_within
from shared.times import parse_time

REPEATS = ("%", ".")
CHORDS_A_BEAT = 2  # at most
_FILE = re.compile(r".*\w\.\w{2,}", re.DOTALL)  # a name with an ending, which no progression has
_LISTED = 8  # bars, when a placement is described

# A bar of a progression: its chords, each with how many equal parts of the bar it lasts. None is
# no chord.
_Bar = tuple[tuple[ChordName | None, int], ...]


@dataclass(frozen=True, eq=False)
class ChordLimits:
    """What chords allow a bass line to play at each of the P positions of a grid.

    Attributes:
        pitch_classes: the pitch classes that a note that begins here may have `[P, 12]`.
        must_begin: whether a note must begin here, because a chord does `[P]`.
    """

    pitch_classes: npt.NDArray[np.bool_]
    must_begin: npt.NDArray[np.bool_]


def read_chords(text: str, grid: BarGrid, duration: float) -> tuple[Chord, ...]:
    """Read what the user writes for chords: a progression, or the name of a chord file.

    Args:
        text: the progression or the file's name.
        grid: the beats and bars of the song.
        duration: the length of the song in seconds.

    Raises:
        UserError: see `place_chords` and `read_chord_file`.
    """
    if names_file(text):
        return read_chord_file(Path(text), duration)
    return place_chords(text, grid, duration)


def names_file(text: str) -> bool:
    """Return whether a text is the name of a chord file and not a progression."""
    try:
        return _FILE.fullmatch(text) is not None or Path(text).is_file()
    except (OSError, ValueError):  # a text that is too long for a file's name
        return False


def read_chord_file(path: Path, duration: float) -> tuple[Chord, ...]:
    """Read chords from a file with lines of a time and a symbol.

    Args:
        path: the file.
        duration: the length of the song in seconds, until which the last chord lasts.

    Raises:
        UserError: the file cannot be read, a line has another form, the times do not rise, or no
            chord begins within the song.
    """
    events = _read_events(path)
    ends = [*(start for start, _ in events[1:]), duration][: len(events)]
    chords = tuple(
        Chord(start, min(end, duration), name.root, name.quality, name.bass)
        for (start, name), end in zip(events, ends, strict=True)
        if name is not None and start < duration
    )
    if not chords:
        raise UserError(
            f"{path} names no chord within the {duration:.1f} s of the song: check its times"
        )
    return chords


def _read_events(path: Path) -> list[tuple[float, ChordName | None]]:
    """Read the times and the chords of a chord file; None where no chord sounds."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the chord file {path} ({error}): give a text file") from error
    events: list[tuple[float, ChordName | None]] = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        where = f"line {number} of {path}"
        if len(fields) != 2:
            raise UserError(f"{where} is not a time and a chord: write it as '0:02.5 Am'")
        try:
            time = parse_time(fields[0])
            chord = read_symbol(fields[1])
        except UserError as error:
            raise UserError(f"in {where}, {error}") from error
        if events and time <= events[-1][0]:
            raise UserError(f"{where} is not later than the line before it: sort the chords")
        events.append((time, chord))
    return events


def place_chords(text: str, grid: BarGrid, duration: float) -> tuple[Chord, ...]:
    """Repeat a progression from the first downbeat of a song to its end.

    Each chord that is written, and each first chord of a bar, is a chord of its own, also where it
    equals the one before it: a bass plays its root anew.

    Args:
        text: the progression.
        grid: the beats and bars of the song.
        duration: the length of the song in seconds.

    Raises:
        UserError: the progression has no chords, a chord is not known, too many are in a bar, or
            no bar begins within the song.
    """
    bars = read_progression(text, CHORDS_A_BEAT * grid.beats_per_bar)
    edges = STEPS * np.append(grid.bar_starts, grid.bar_starts[-1] + grid.beats_per_bar)
    song_begins, song_ends = grid.position_of([0.0, duration]).tolist()
    within = [
        (start, end)
        for start, end in itertools.pairwise(edges.tolist())
        if song_begins - LATE_START <= start < song_ends
    ]
    require(bool(within), f"no bar begins in the {duration:.1f} s of the song: it is too short")
    chords: list[Chord] = []
    for number, (start, end) in enumerate(within):
        bar = bars[number % len(bars)]
        parts = sum(length for _, length in bar)
        done = 0
        for name, length in bar:
            span = start + np.round((end - start) * np.array([done, done + length]) / parts)
            begin, finish = np.clip(grid.time_of(span), 0.0, duration).tolist()
            done += length
            if name is not None and begin < finish:
                chords.append(Chord(begin, finish, name.root, name.quality, name.bass))
    return tuple(chords)


def read_progression(text: str, most_a_bar: int) -> tuple[_Bar, ...]:
    """Read a progression as bars.

    Args:
        text: the progression.
        most_a_bar: the largest number of chords in a bar.

    Raises:
        UserError: there are no chords, a chord is not known, or too many are in a bar.
    """
    if "|" in text:
        written = [part.split() for part in re.split(r"\|+", text.strip().strip("|"))]
    else:
        written = [[symbol] for symbol in text.split()]
    require(any(written), 'there are no chords: write some, as in "Am F C G" or "Am | F C | G"')
    bars: list[_Bar] = []
    for number, symbols in enumerate(written, 1):
        where = f"in bar {number} of the chords, "
        require(bool(symbols), f"bar {number} of the chords is empty: write % to repeat a bar")
        require(
            len(symbols) <= most_a_bar,
            f"{where}there are {len(symbols)} chords, but at most {most_a_bar} fit: "
            "separate bars with |",
        )
        require(
            symbols[0] not in REPEATS or bool(bars),
            f"{where}there is nothing before '{symbols[0]}' to repeat: begin with a chord",
        )
        if len(symbols) == 1 and symbols[0] in REPEATS:
            bars.append(bars[-1])
            continue
        bar: list[tuple[ChordName | None, int]] = []
        for symbol in symbols:
            if symbol in REPEATS and bar:
                bar[-1] = (bar[-1][0], bar[-1][1] + 1)
            elif symbol in REPEATS:
                bar.append((bars[-1][-1][0], 1))
            else:
                try:
                    bar.append((read_symbol(symbol), 1))
                except UserError as error:
                    raise UserError(f"{where}{error}") from error
        bars.append(tuple(bar))
    require(
        any(name is not None for bar in bars for name, _ in bar),
        "there are only rests among the chords: name at least one chord",
    )
    return tuple(bars)


def describe_placement(chords: Sequence[Chord], grid: BarGrid) -> str:
    """Say where chords are, one line for each symbol: `Cm from 0.42 s: bars 1, 5, 9`."""
    bars: dict[str, list[int]] = {}
    begins: dict[str, float] = {}
    for chord in chords:
        begins.setdefault(chord.symbol, chord.start)
        bar = int(grid.bar_of(positions_within(chord, grid).start)) + 1
        numbers = bars.setdefault(chord.symbol, [])
        if bar not in numbers:
            numbers.append(bar)
    lines = []
    for symbol, numbers in bars.items():
        texts = [str(number) for number in numbers]
        if len(texts) > _LISTED:
            texts = [*texts[: _LISTED - 2], "...", texts[-1]]
        plural = "s" if len(numbers) > 1 else ""
        lines.append(f"{symbol} from {begins[symbol]:.2f} s: bar{plural} {', '.join(texts)}")
    return "\n".join(lines)


def limits_on_grid(chords: Sequence[Chord], grid: BarGrid) -> ChordLimits:
    """Return what chords allow at the positions of a grid.

    Where a chord begins, its bass note must begin, in any octave. At its other positions, its tones
    are allowed. Where there is no chord, every pitch class is.
    """
    allowed = np.ones((grid.positions, 12), np.bool_)
    must_begin = np.zeros(grid.positions, np.bool_)
    for chord in chords:
        within = positions_within(chord, grid)
        if within.start < within.stop:
            allowed[within] = np.isin(np.arange(12), chord.pitch_classes)
            allowed[within.start] = np.arange(12) == chord.bass
            must_begin[within.start] = True
    return ChordLimits(allowed, must_begin)
