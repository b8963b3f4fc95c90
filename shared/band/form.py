"""Song form: named sections in bars. Sections of one name share their music."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Energy 0-2 a section is played at.
LEVELS = {
    "intro": 0, "verse": 1, "pre": 1, "chorus": 2, "bridge": 1, "solo": 2, "break": 0, "outro": 1,
    "head": 1, "drop": 2, "build": 1,
}  # fmt: skip
# Sections that play another's chords.
BORROWS = {"intro": "verse", "outro": "chorus", "solo": "verse", "break": "chorus"}
SHORTEST, LONGEST = 32.0, 168.0


@dataclass(frozen=True)
class Section:
    """`bars` bars from `first_bar` on, `transpose` semitones above the home key."""

    name: str
    first_bar: int
    bars: int
    transpose: int = 0

    @property
    def level(self) -> int:
        return LEVELS[self.name]


def plan_form(
    rng: np.random.Generator,
    forms: tuple[str, ...],
    bar_seconds: float,
    seconds: float | None,
    modulation: float,
) -> tuple[Section, ...]:
    """Choose a form ("intro:4 verse:8 chorus:8 ...") and fit it into `seconds` by whole bars.

    Without `seconds` the form is kept within 32-168 s. A shorter wish takes a run of bars from a
    section's start inside the form; a longer one repeats the body.
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
    """Semitones above home for each section: the end a step up, or the bridge elsewhere."""
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
