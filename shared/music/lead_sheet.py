"""The chords of a song on one line of text, bar by bar: `| Cm | Ab Eb | Bb |`.

Each bar is divided into equal parts, and each part begins with a chord. `/` stands for a part in
which the chord before goes on, as in `| Cm / / Bb |`. A chord that begins between two beats is
written on the nearest one. What stands before the first line is a pickup; it is left out where it
has the chord of the first bar.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from shared.music.bar_grid import BarGrid
from shared.music.chord import Chord
from shared.music.tempo_map import Bar, TempoMap

NO_CHORD = "N.C."
GOES_ON = "/"


def lead_sheet(chords: Sequence[Chord], grid: BarGrid, bars_a_line: int | None = None) -> str:
    """Write chords as a lead sheet, up to the last bar in which one sounds.

    Args:
        chords: the chords, in order.
        grid: the beats and bars of the song.
        bars_a_line: how many bars a line of the text has; None for a single line.

    Returns:
        The text, without a line break at its end; empty without chords.
    """
    ticking = TempoMap.of(grid)
    beats = [_beat_symbols(bar, chords, ticking) for bar in ticking.bars]
    while beats and set(beats[-1]) == {NO_CHORD}:
        beats.pop()
    if not beats:
        return ""
    opening = ""
    if ticking.has_pickup and len(beats) > 1:
        pickup, *beats = beats
        opening = "" if set(pickup) <= {NO_CHORD, beats[0][0]} else f"{_bar_text(pickup)} "
    texts = [_bar_text(bar) for bar in beats]
    length = bars_a_line or len(texts)
    edges = [*range(0, len(texts), length), len(texts)]
    lines = [f"| {' | '.join(texts[first:stop])} |" for first, stop in pairwise(edges)]
    return opening + "\n".join(lines)


def _beat_symbols(bar: Bar, chords: Sequence[Chord], ticking: TempoMap) -> list[str]:
    """Return the symbol of each beat of a bar."""
    ticks = bar.tick + bar.beat_ticks * (np.arange(bar.beats) + 0.5)
    return [
        next(
            (chord.symbol for chord in reversed(chords) if chord.start <= time < chord.end),
            NO_CHORD,
        )
        for time in ticking.seconds_at(ticks).tolist()
    ]


def _bar_text(symbols: list[str]) -> str:
    """Divide a bar into as few equal parts as show all its chords."""
    count = len(symbols)
    parts = next(
        parts
        for parts in range(1, count + 1)
        if count % parts == 0
        and all(
            len(set(symbols[first : first + count // parts])) == 1
            for first in range(0, count, count // parts)
        )
    )
    heads = symbols[:: count // parts]
    changes = [True] + [before != after for before, after in pairwise(heads)]
    return " ".join(head if new else GOES_ON for head, new in zip(heads, changes, strict=True))
