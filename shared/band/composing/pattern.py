"""The pattern language: a bar (or a few) of rhythm as text, for drums, bass and comping alike.

Bars are separated by `|`. Each character is a step. The steps divide their bars evenly: sixteen of
them are the sixteenths of 4/4, and twelve the eighths of 12/8. `.` is silence, `-` holds the last
note, and anything else starts a note and tells its kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

SILENCE, HOLD = ".", "-"


@dataclass(frozen=True)
class Step:
    """A symbol at `beat` (from the pattern's start), held for `length` beats."""

    beat: float
    length: float
    symbol: str


@dataclass(frozen=True)
class Pattern:
    """Steps over `beats` beats; in its first `carry` beats the note before the pattern goes on."""

    beats: int
    steps: tuple[Step, ...]
    carry: float = 0.0

    def in_bar(self, bar: int, beats_per_bar: int) -> tuple[Step, ...]:
        """Return the steps of bar number `bar` of the repeated pattern, from the bar's start."""
        if self.beats == beats_per_bar:
            return self.steps
        start = (bar * beats_per_bar) % self.beats
        return tuple(
            Step(step.beat - start, step.length, step.symbol)
            for step in self.steps
            if start <= step.beat < start + beats_per_bar
        )


@lru_cache(maxsize=4096)
def parse_pattern(text: str, beats_per_bar: int) -> Pattern:
    """Read a pattern in a meter of `beats_per_bar` beats."""
    beats = beats_per_bar * (text.count("|") + 1)
    symbols = text.replace("|", "")
    unit = beats / len(symbols)
    starts = [i for i, symbol in enumerate(symbols) if symbol not in (SILENCE, HOLD)]
    steps = []
    for start in starts:
        end = start + 1
        while end < len(symbols) and symbols[end] == HOLD:
            end += 1
        steps.append(Step(start * unit, (end - start) * unit, symbols[start]))
    carry = len(symbols) - len(symbols.lstrip(HOLD))
    return Pattern(beats, tuple(steps), carry * unit)


def pattern_of(beats: int, positions: Iterable[float], symbol: str, longest: float) -> Pattern:
    """Make a pattern of notes that are held to the next one, or for `longest` beats at most."""
    ordered = sorted(set(positions))
    ends = [*ordered[1:], float(beats)]
    return Pattern(
        beats,
        tuple(
            Step(start, min(end - start, longest), symbol)
            for start, end in zip(ordered, ends, strict=True)
        ),
    )
