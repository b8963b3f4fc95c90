"""Draw notes, bars, beats and chords over time, in seconds."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.music.tempo_map import TempoMap

SOFTEST, LOUDEST = "#b9d4ea", "#083a70"  # notes of MIDI velocity 40 and below, 120 and above
VELOCITIES = (40, 120)
BAR_COLOUR, BEAT_COLOUR = "0.55", "0.88"
LABEL_SIZE = 8  # points
INCHES_PER_LETTER = 0.085  # of a label of that size, with some room
CLOSEST_BEATS = 0.06  # inches; beats that are closer are not drawn
CLOSEST_BARS = 0.12  # inches; where bars are closer, only those with a number have a line
THINNEST_WITH_EDGE = 0.03  # inches; thinner notes have no white edge
NAMED = {0: "C", 4: "E", 7: "G", 9: "A"}  # the pitch classes on the axis
FEW_NAMED, MANY_PITCHES = {0: "C", 7: "G"}, 20  # those of an axis of more pitches than that


def draw_notes(axis: Axes, notes: Sequence[Note]) -> None:
    """Draw notes as bars, the louder the darker, with the names of some pitches on the axis.

    The limits of the time axis have to be set before. Notes outside are not drawn, but count for
    the pitches on the axis, so that all rows of a song have the same.
    """
    start, stop = axis.get_xlim()
    shown = [note for note in notes if note.end > start and note.onset < stop]
    bars = [Rectangle((n.onset, n.pitch - 0.45), n.duration, 0.9) for n in shown]
    colours = [_colour(note.velocity) for note in shown]
    width = np.median([note.duration for note in shown] or [1.0]) / _seconds_per_inch(axis)
    # An edge would hide most of a thin bar.
    edge = "white" if width > THINNEST_WITH_EDGE else "none"
    axis.add_collection(
        PatchCollection(bars, facecolor=colours, edgecolor=edge, linewidth=0.4, zorder=3)
    )
    pitches = [note.pitch for note in notes] or [28, 43]
    low, high = min(pitches) - 2, max(pitches) + 2
    axis.set_ylim(low, high)
    named = FEW_NAMED if high - low > MANY_PITCHES else NAMED
    ticks = [pitch for pitch in range(low, high + 1) if pitch % 12 in named]
    axis.set_yticks(ticks, [f"{named[pitch % 12]}{pitch // 12 - 1}" for pitch in ticks])
    axis.grid(axis="y", color="0.93")
    axis.set_axisbelow(True)
    axis.set_ylabel("pitch")


def draw_bars(axis: Axes, grid: BarGrid) -> None:
    """Draw the bar lines with numbers below the axis, and the beats lightly.

    Bars are numbered as in the MIDI file, where a pickup is bar 1. Where there is no room for all
    numbers, every second, fourth, and so on of the whole bars has one; where there is none for all
    lines either, only these have a line. The limits of the time axis have to be set before.
    """
    start, stop = axis.get_xlim()
    inch = _seconds_per_inch(axis)
    if np.median(np.diff(grid.beats)) > CLOSEST_BEATS * inch:
        beats = grid.beats[(grid.beats >= max(start, 0)) & (grid.beats < stop)]
        axis.vlines(beats, 0, 1, BEAT_COLOUR, lw=0.5, transform=axis.get_xaxis_transform())
    ticking = TempoMap.of(grid)
    bars = ticking.bars
    lengths = [after.start - before.start for before, after in pairwise(bars)] or [stop - start]
    every, room = 1, (len(str(len(bars))) + 1) * INCHES_PER_LETTER * inch
    while every * np.median(lengths) < room:
        every *= 2
    first = int(ticking.has_pickup)
    shown = [
        (bar.start, str(number + 1) if (number - first) % every == 0 else "")
        for number, bar in enumerate(bars)
        if start - 1e-6 <= bar.start < stop
    ]
    if np.median(lengths) < CLOSEST_BARS * inch:
        shown = [(time, name) for time, name in shown if name]
    times = [time for time, _ in shown]
    axis.vlines(times, 0, 1, BAR_COLOUR, lw=0.8, transform=axis.get_xaxis_transform(), zorder=1)
    for time, name in shown:
        if name:
            axis.annotate(
                name,
                (time, 0),
                xycoords=axis.get_xaxis_transform(),
                xytext=(2, 2),
                textcoords="offset points",
                fontsize=LABEL_SIZE - 1,
                color="0.35",
                clip_on=True,
            )


def draw_chords(axis: Axes, chords: Sequence[Chord]) -> None:
    """Write the names of chords above the axis, as far as there is room.

    A chord that goes on has its name once. The limits of the time axis have to be set before.
    """
    start, stop = axis.get_xlim()
    inch = _seconds_per_inch(axis)
    free_from, before = start, ""
    for chord in chords:
        begin, symbol = max(chord.start, start), chord.symbol
        end_of_label = begin + (len(symbol) + 0.5) * INCHES_PER_LETTER * inch
        room = free_from <= begin and end_of_label < stop + 0.3 * inch
        if chord.end <= start or not room or symbol == before:
            continue
        axis.annotate(
            symbol,
            (begin, 1),
            xycoords=axis.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=LABEL_SIZE,
            annotation_clip=False,
            parse_math=False,
        )
        free_from, before = end_of_label, symbol


def _colour(velocity: int) -> tuple[float, ...]:
    depth = np.interp(velocity, VELOCITIES, (0.0, 1.0))
    return tuple(
        float(np.interp(depth, (0, 1), ends))
        for ends in zip(to_rgb(SOFTEST), to_rgb(LOUDEST), strict=True)
    )


def _seconds_per_inch(axis: Axes) -> float:
    """Return how many seconds an inch of the time axis is, in a layout with narrow margins."""
    start, stop = axis.get_xlim()
    figure = axis.figure
    return (stop - start) / (0.93 * figure.bbox.width / figure.dpi)
