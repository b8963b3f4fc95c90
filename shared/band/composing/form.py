"""Song form: named sections in bars. Sections of the same name share their music."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# How energetically a section is played, from 0 to 2.
LEVELS = {
    "intro": 0, "verse": 1, "pre": 1, "chorus": 2, "bridge": 1, "solo": 2, "break": 0, "outro": 1,
    "head": 1, "drop": 2, "build": 1,
}  # fmt: skip
# Sections that play the chords of another section.
BORROWS = {"intro": "verse", "outro": "chorus", "solo": "verse", "break": "chorus"}
SHORTEST, LONGEST = 32.0, 168.0  # s


@dataclass(frozen=True)
class Section:
    """Bars `first_bar` to `first_bar + bars`, played `transpose` semitones above the home key."""

    name: str
    first_bar: int
    bars: int
    transpose: int = 0

    @property
    def level(self) -> int:
        """How energetically it is played, from 0 to 2."""
        return LEVELS[self.name]


def plan_form(
    rng: np.random.Generator,
    forms: tuple[str, ...],
    bar_seconds: float,
    seconds: float | None,
    modulation: float,
) -> tuple[Section, ...]:
    """Choose a form and fit it into a length by whole bars.

    A length that is shorter than the form takes consecutive bars of it, from the beginning of one
    of its sections on. A longer one repeats the sections between introduction and ending.

    Args:
        rng: the source of all chance.
        forms: forms to choose from, such as "intro:4 verse:8 chorus:8"; the numbers are bars.
        bar_seconds: how long a bar lasts.
        seconds: the wanted length; None lets the form decide, within 32 to 168 s.
        modulation: the chance that the song modulates.
    """
    parts = [_read(item) for item in forms[int(rng.integers(len(forms)))].split()]
    shift = _modulate(rng, [name for name, _ in parts], modulation)
    sections = [(name, bars, step) for (name, bars), step in zip(parts, shift, strict=True)]
    total = sum(bars for _, bars in parts)
    if seconds is None:
        least, most = SHORTEST / bar_seconds, LONGEST / bar_seconds
        wanted = max(1, int(min(max(total, least), most)))
        first = 0
    else:
        wanted = max(1, round(seconds / bar_seconds))
        starts = np.cumsum([0, *(bars for _, bars in parts[:-1])])
        fitting = [i for i, start in enumerate(starts) if total - start >= wanted]
        first = int(rng.choice(fitting)) if fitting else 0
    body = [s for s in sections if s[0] not in ("intro", "outro")] or sections
    queue = sections[first:]
    planned: list[Section] = []
    bar = 0
    while bar < wanted:
        if not queue:
            queue = list(body)
        name, bars, step = queue.pop(0)
        bars = min(bars, wanted - bar)
        planned.append(Section(name, bar, bars, step))
        bar += bars
    return tuple(planned)


def _read(item: str) -> tuple[str, int]:
    name, bars = item.split(":")
    return name, int(bars)


def _modulate(rng: np.random.Generator, names: list[str], chance: float) -> list[int]:
    """Choose for each section how many semitones above the home key it is.

    Towards the end the song may rise, and the bridge may be in a key of its own.
    """
    shift = [0] * len(names)
    if rng.random() < chance and len(names) > 3:
        lift = int(rng.choice((1, 2, 2, 3)))
        first = max(
            i for i, name in enumerate(names) if name in ("chorus", "head", "drop", "verse")
        )
        shift[first:] = [lift] * (len(names) - first)
    if rng.random() < chance and "bridge" in names:
        shift[names.index("bridge")] += int(rng.choice((3, 5, -2, -3, 7)))
    return shift
