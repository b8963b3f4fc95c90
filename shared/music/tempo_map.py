"""A grid of bars as a MIDI file counts it: in ticks, with tempi and time signatures.

A MIDI file begins with a bar line, and so does a project of a sequencer. A song as audio begins
anywhere in a bar. Tick 0 is put at the beginning of the audio, so that both lie one above the other
where they are imported at the same place, and the bars are fitted to that:

- Where a bar begins less than half of a 64th note after the audio, that bar is the first, and its
  first notes may be early by as much.
- Otherwise the first bar is a pickup that ends at the song's first downbeat. It has as many beats
  as remain before the downbeat, rounded. Where less than half a beat remains, it is a single eighth
  or a shorter note.
- What the rounding adds or leaves out is made up for by the tempo at the beginning of that bar. It
  is at most twice and at least half of the song's, and for as few positions as possible.

From there on, every beat of the grid is a beat of the file, at its own time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shared.errors import require
from shared.music.bar_grid import STEPS, BarGrid, Floats, Integers

TICKS_PER_QUARTER = 960
SHORTEST_UNIT = 64  # the lower number of the time signature with the shortest beats
MICROSECONDS = 1e6
LONGEST_QUARTER = 2**24 - 1  # microseconds; a MIDI file has three bytes for them
# A tempo goes on as long as the next beat comes within so many seconds of its time. Rounding moves
# beats by less.
TOLERANCE = 0.25e-3
_EQUAL = 1e-6  # positions that differ by less are the same


@dataclass(frozen=True)
class Bar:
    """A bar of a MIDI file.

    Attributes:
        tick: where it begins, in ticks.
        start: where it begins, in seconds from the beginning of the song.
        beats: the upper number of its time signature.
        unit: the lower number of its time signature.
    """

    tick: int
    start: float
    beats: int
    unit: int

    @property
    def beat_ticks(self) -> int:
        """The length of one of its beats in ticks."""
        return 4 * TICKS_PER_QUARTER // self.unit


@dataclass(frozen=True)
class _Opening:
    """How the first bar of a MIDI file fits the beginning of a song.

    Attributes:
        downbeats: the beats of the grid that begin the whole bars, as indices.
        pickup: the time signature of the bar before them; None where there is no such bar.
        anchor: the position from which on the song's own tempo holds.
        anchor_tick: the tick of this position.
        regular: the position from which on positions are equally long in ticks. It is before the
            anchor only where a bar is moved to the beginning.
    """

    downbeats: tuple[int, ...]
    pickup: tuple[int, int] | None
    anchor: int
    anchor_tick: int
    regular: int

    @classmethod
    def of(cls, grid: BarGrid) -> _Opening:
        unit, step = grid.beat_unit, _position_ticks(grid)
        now = float(grid.position_of(0.0))
        downbeats = _downbeats_from(grid, now)
        first = downbeats[0]
        missing = first - now / STEPS  # beats
        shortest = unit / SHORTEST_UNIT  # beats
        if shortest / 2 <= missing < 1 / 2:
            length = 1.0
            while length / 2 >= max(missing, shortest):
                length /= 2
            anchor = STEPS * first
            tick = round(length * STEPS * step)
            return cls(downbeats, (1, round(unit / length)), anchor, tick, anchor)
        beats = int(missing + 1 / 2) if missing >= shortest / 2 else 0
        origin = STEPS * (first - beats)
        late = origin - now  # positions; below 0 where the first beat has begun already
        changed = 0 if abs(late) < _EQUAL else int(np.ceil(late if late > 0 else -2 * late))
        anchor = origin + changed
        pickup = (beats, unit) if beats else None
        return cls(downbeats, pickup, anchor, changed * step, anchor if beats else origin)


@dataclass(frozen=True, eq=False)
class TempoMap:
    """Where the ticks of a MIDI file are in time.

    Attributes:
        grid: the grid that it was made for.
        ticks: where a tempo begins `[K]`, rising from 0. The last tempo lasts for ever.
        seconds: the times of these ticks `[K]`, rising from 0.
        tempi: the length of a quarter note from each of these ticks on `[K]`, in microseconds.
    """

    grid: BarGrid
    ticks: Integers
    seconds: Floats
    tempi: Integers
    _opening: _Opening

    @classmethod
    def of(cls, grid: BarGrid) -> TempoMap:
        """Fit a MIDI file to a grid.

        Raises:
            UserError: the beats are too far apart for a MIDI file, or it has no name for their
                unit.
        """
        require(
            grid.beat_unit in (1, 2, 4, 8, 16, 32, SHORTEST_UNIT),
            f"MIDI has no beats of 1/{grid.beat_unit} notes: give a meter such as 4/4 or 6/8",
        )
        opening, step = _Opening.of(grid), _position_ticks(grid)
        next_beat = opening.anchor // STEPS + 1
        beats = np.arange(next_beat, max(len(grid.beats), next_beat + 1))
        places = np.append(opening.anchor, STEPS * beats)
        ticks = opening.anchor_tick + (places - opening.anchor) * step
        times = grid.time_of(places)
        if opening.anchor_tick > 0:
            ticks, times = np.append(0, ticks), np.append(0.0, times)
        tempi = _tempi(ticks, times)
        lengths = np.diff(ticks) * tempi / (TICKS_PER_QUARTER * MICROSECONDS)
        return cls(grid, ticks[:-1], np.append(0.0, np.cumsum(lengths)[:-1]), tempi, opening)

    @property
    def has_pickup(self) -> bool:
        """Whether the first bar is a pickup."""
        return self._opening.pickup is not None

    @cached_property
    def bars(self) -> tuple[Bar, ...]:
        """The bars from the beginning of the song to its end, the pickup included."""
        downbeats = self._opening.downbeats
        lengths = np.append(np.diff(downbeats), self.grid.beats_per_bar)
        within = max(1, int(np.sum(np.array(downbeats) < len(self.grid.beats) - 1)))
        ticks = self.ticks_of(STEPS * np.array(downbeats[:within]))
        bars = [
            Bar(tick, time, length, self.grid.beat_unit)
            for tick, time, length in zip(
                ticks.tolist(), self.seconds_at(ticks).tolist(), lengths.tolist(), strict=False
            )
        ]
        pickup = self._opening.pickup
        return tuple(bars if pickup is None else [Bar(0, 0.0, *pickup), *bars])

    def ticks_at(self, seconds: npt.ArrayLike) -> Integers:
        """Return the ticks nearest to times in seconds; 0 before the beginning of the song."""
        time = np.asarray(seconds, np.float64)
        index = np.searchsorted(self.seconds, time, side="right").clip(1) - 1
        per_second = TICKS_PER_QUARTER * MICROSECONDS / self.tempi[index]
        exact = self.ticks[index] + (time - self.seconds[index]) * per_second
        return np.asarray(np.rint(exact).astype(np.int64).clip(0))

    def seconds_at(self, ticks: npt.ArrayLike) -> Floats:
        """Return the times of ticks, which need not be whole, in seconds."""
        tick = np.asarray(ticks, np.float64)
        index = np.searchsorted(self.ticks, tick, side="right").clip(1) - 1
        per_tick = self.tempi[index] / (TICKS_PER_QUARTER * MICROSECONDS)
        return np.asarray(self.seconds[index] + (tick - self.ticks[index]) * per_tick)

    def ticks_of(self, positions: npt.ArrayLike) -> Integers:
        """Return the ticks of whole positions of the grid; 0 before the beginning of the song."""
        place = np.asarray(positions, np.int64)
        opening = self._opening
        regular = opening.anchor_tick + (place - opening.anchor) * _position_ticks(self.grid)
        early = self.ticks_at(self.grid.time_of(place))
        return np.asarray(np.where(place >= opening.regular, regular, early).clip(0))


def _position_ticks(grid: BarGrid) -> int:
    """Return the length of a position in ticks."""
    return 4 * TICKS_PER_QUARTER // grid.beat_unit // STEPS


def _downbeats_from(grid: BarGrid, now: float) -> tuple[int, ...]:
    """Return the beats that begin bars from the position `now` on, at least one."""
    starts = grid.bar_starts[STEPS * grid.bar_starts >= now - _EQUAL]
    if len(starts):
        return tuple(starts.tolist())
    last, length = int(grid.bar_starts[-1]), grid.beats_per_bar
    return (last + length * int(np.ceil((now / STEPS - last) / length)),)


def _tempi(ticks: Integers, times: Floats) -> Integers:
    """Return a tempo for each part between two ticks that brings its end to its time.

    The tempo of the part before goes on where that is near enough.
    """
    tempi: list[int] = []
    now = 0.0
    for quarters, end in zip(np.diff(ticks) / TICKS_PER_QUARTER, times[1:], strict=True):
        goes_on = tempi and abs(now + quarters * tempi[-1] / MICROSECONDS - end) <= TOLERANCE
        tempo = tempi[-1] if goes_on else round((end - now) / quarters * MICROSECONDS)
        require(
            1 <= tempo <= LONGEST_QUARTER,
            f"two beats of the song are {end - now:.3g} s apart, which MIDI cannot write: give "
            "the tempo of the song",
        )
        tempi.append(tempo)
        now += quarters * tempo / MICROSECONDS
    return np.array(tempi)
