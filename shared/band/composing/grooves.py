"""Drums: a groove with small changes for each section, and fills.

Drum patterns use `x` for a stroke, `X` for an accent and `o` for a soft one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from shared.band.composing.pattern import Pattern, Step, parse_pattern
from shared.band.composing.timeline import Event

# GM percussion keys by the names that styles use.
DRUM_KEYS = {
    "kick": 36, "kick2": 35, "rim": 37, "snare": 38, "clap": 39, "snare2": 40, "tom_floor": 41,
    "hat": 42, "tom_low": 45, "pedal": 44, "open": 46, "tom_mid": 47, "tom_high": 50, "crash": 49,
    "crash2": 57, "ride": 51, "china": 52, "bell": 53, "tambourine": 54, "splash": 55,
    "cowbell": 56, "bongo_high": 60, "bongo_low": 61, "conga_mute": 62, "conga_high": 63,
    "conga_low": 64, "timbale_high": 65, "timbale_low": 66, "agogo": 67, "cabasa": 69,
    "maracas": 70, "guiro": 73, "clave": 75, "block": 76, "shaker": 82, "triangle": 81,
}  # fmt: skip
STROKES = {"x": 0.8, "X": 1.0, "o": 0.38}
SIXTEENTH, TRIPLE, EIGHTH = 1 / 4, 1 / 3, 1 / 2
# Rhythms of a cymbal over one beat, for each grid.
CELLS = {
    SIXTEENTH: ("x.x.", "x.o.", "xoxo", "X.o.", "xoXo", "x...", "..X.", "x.xo", "xo.o"),
    TRIPLE: ("xoo", "x.o", "xxx", "x..", "Xox"),
    EIGHTH: ("xx", "xo", "x.", "Xx", ".X", "Xo"),
}
CYMBALS = ("hat", "ride", "shaker", "maracas", "cabasa", "tambourine")


@dataclass(frozen=True)
class Groove:
    """A drum groove.

    Attributes:
        meter: such as "6/8".
        level: from 0 to 2, how energetic the sections are that it suits.
        bass: the bass patterns that fit it.
        voices: names of DRUM_KEYS and their patterns.
        loose: from 0 to 1, how much a section may change it.
    """

    meter: str
    level: int
    bass: tuple[str, ...]
    voices: dict[str, str]
    loose: float = 0.5

    def patterns(self, beats_per_bar: int) -> dict[str, Pattern]:
        """Read the pattern of every voice."""
        return {voice: parse_pattern(text, beats_per_bar) for voice, text in self.voices.items()}


def vary(
    rng: np.random.Generator,
    patterns: dict[str, Pattern],
    beats_per_bar: int,
    grid: float,
    loose: float,
) -> dict[str, Pattern]:
    """Change a groove for a section: another cymbal rhythm, more or fewer kicks, ghost notes.

    Args:
        rng: the source of all chance.
        patterns: the groove, by the names of its voices.
        beats_per_bar: of the meter.
        grid: beats between the places where strokes may be added, a key of CELLS.
        loose: from 0 to 1, how much may change.
    """
    varied = dict(patterns)
    kick, snare = varied.get("kick"), varied.get("snare")
    backbeat = snare or varied.get("clap")
    if kick and rng.random() < 0.7 * loose:
        taken = [step.beat for step in (*kick.steps, *(backbeat.steps if backbeat else ()))]
        places = (i * grid for i in range(1, round(kick.beats / grid)))
        free = [p for p in places if all(abs(p - other) > 1e-3 for other in taken)]
        # An eighth is more likely than a sixteenth.
        weights = np.array([0.45 if 2 * p % 1 else 1.0 for p in free])
        if free:
            added = float(rng.choice(free, p=weights / weights.sum()))
            kick = _with(kick, Step(added, grid, "x"))
    if kick and len(kick.steps) > 2 and rng.random() < 0.4 * loose:
        gone = int(rng.integers(1, len(kick.steps)))
        kick = replace(kick, steps=kick.steps[:gone] + kick.steps[gone + 1 :])
    if kick:
        varied["kick"] = kick
    if snare and rng.random() < 0.5 * loose:
        for _ in range(int(rng.integers(1, 3))):
            place = grid * (2 * int(rng.integers(0, round(snare.beats / grid / 2))) + 1)
            if all(abs(step.beat - place) > 1e-3 for step in snare.steps):
                snare = _with(snare, Step(place, grid, "o"))
        varied["snare"] = snare
    for voice in CYMBALS:
        if voice in varied and rng.random() < 0.6 * loose:
            cell = str(rng.choice(CELLS[grid]))
            varied[voice] = parse_pattern(cell * beats_per_bar, beats_per_bar)
            break
    if "hat" in varied and "open" not in varied and rng.random() < 0.35 * loose:
        place = beats_per_bar - (TRIPLE if grid == TRIPLE else EIGHTH)
        varied["open"] = Pattern(beats_per_bar, (Step(place, grid, "x"),))
    return varied


def _with(pattern: Pattern, step: Step) -> Pattern:
    return replace(pattern, steps=tuple(sorted((*pattern.steps, step), key=lambda s: s.beat)))


def drum_bar(
    patterns: dict[str, Pattern], bar: int, start: float, beats_per_bar: int, until: float
) -> list[Event]:
    """Play one bar from beat `start` on, without the strokes from beat `until` of the bar on."""
    return [
        Event(start + step.beat, 0.2, DRUM_KEYS[voice], STROKES[step.symbol])
        for voice, pattern in patterns.items()
        for step in pattern.in_bar(bar, beats_per_bar)
        if step.beat < until - 1e-6
    ]


def fill(
    rng: np.random.Generator, kit: str, start: float, beats: int, grid: float, level: int
) -> list[Event]:
    """Play a fill.

    Args:
        rng: the source of all chance.
        kit: toms, snare, machine, brushes or latin.
        start: first beat.
        beats: length.
        grid: beats between the places where strokes may be.
        level: from 0 to 2, how energetic the section is.
    """
    if grid == SIXTEENTH and not level and rng.random() < 0.5:
        grid = EIGHTH
    times = np.arange(0, beats - 1e-6, grid)
    if kit in ("snare", "machine") and rng.random() < 0.6:
        voice = "snare" if kit == "snare" else str(rng.choice(("snare2", "clap", "snare")))
        keep = rng.random(len(times)) < 0.9
        ramp = np.linspace(0.45, 1.0, len(times))
        return [
            Event(start + float(t), 0.2, DRUM_KEYS[voice], float(v))
            for t, v, k in zip(times, ramp, keep, strict=True)
            if k
        ]
    walks = {
        "latin": ("timbale_high", "timbale_high", "timbale_low", "conga_low"),
        "brushes": ("snare", "snare", "tom_high", "tom_low"),
    }
    voices = walks.get(kit, ("snare", "tom_high", "tom_mid", "tom_low", "tom_floor"))
    order = np.sort(rng.integers(0, len(voices), len(times)))
    keep = rng.random(len(times)) < rng.choice((0.6, 0.8, 1.0))
    keep[0] = True
    return [
        Event(start + float(t), 0.2, DRUM_KEYS[voices[i]], 0.65 + 0.3 * j / len(times))
        for j, (t, i, k) in enumerate(zip(times, order, keep, strict=True))
        if k
    ]
