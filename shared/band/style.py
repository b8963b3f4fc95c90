"""Styles: what a kind of music allows, read from the TOML files in `styles/`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from shared.band.grooves import Groove
from shared.errors import UserError

FOLDER = Path(__file__).parent / "styles"


@dataclass(frozen=True)
class MeterRule:
    """A meter such as "6/8": how often a style uses it, and at which beats per minute."""

    weight: float
    tempo: tuple[float, float]


@dataclass(frozen=True)
class Comp:
    """A comping instrument: programs to choose from, patterns by meter, register and touch.

    `chance` is how often a song has it; `levels` the section energies (0-2) it plays at.
    """

    name: str
    programs: tuple[int, ...]
    patterns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    voicing: str = "close"
    center: tuple[int, int] = (57, 65)
    voices: int = 4
    chance: float = 1.0
    levels: tuple[int, ...] = (0, 1, 2)
    gate: tuple[float, float] = (0.85, 1.0)
    left_hand: float = 0.0
    strum: float = 0.0


@dataclass(frozen=True)
class Lead:
    """Who sings: programs, register (MIDI center), how dense, on which grid (beats), how legato."""

    programs: tuple[int, ...]
    center: tuple[int, int] = (65, 74)
    density: tuple[float, float] = (0.45, 0.75)
    grid: float = 0.5
    gate: float = 0.92
    scoops: float = 0.15


@dataclass(frozen=True)
class Style:
    """Everything the composer asks of a style. Pairs are ranges, dicts weights, floats chances.

    `modes` and `colours` are those of `harmony`; `progressions` by mode, of which `invented` are
    passed over for a walk; `spice` varies them, `busy` bars of a walk hold two chords. `bass_low`:
    lowest root, `bass_gate`: share of its length a note sounds; `bass_slides`, `bass_turns` as in
    BassPlan. `swing`: share of `swing_unit` beats that its first half takes. `humanise`: ms.
    `pedal`: how often an introduction or bridge stands on the tonic.
    """

    name: str
    meters: dict[str, MeterRule]
    modes: dict[str, float]
    colours: dict[str, float]
    forms: tuple[str, ...]
    progressions: dict[str, tuple[str, ...]]
    grooves: tuple[Groove, ...]
    comps: tuple[Comp, ...]
    lead: Lead
    bass_programs: tuple[int, ...]
    bass_low: tuple[int, ...] = (28,)
    bass_gate: tuple[float, float] = (0.8, 0.98)
    bass_slides: float = 0.05
    bass_turns: float = 0.4
    swing: tuple[float, float] = (0.5, 0.5)
    swing_unit: float = 1.0
    spice: tuple[float, float] = (0.0, 0.6)
    invented: float = 0.5
    busy: float = 0.15
    fills: tuple[str, ...] = ("toms", "snare")
    fill_chance: float = 0.8
    drum_program: tuple[int, ...] = (0,)
    humanise: float = 4.0
    modulation: float = 0.15
    pedal: float = 0.05


@cache
def styles() -> dict[str, Style]:
    """All styles by name, in alphabetical order."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.toml"))}


def find_style(name: str) -> Style:
    """The style called `name`. Raises UserError with the names there are."""
    known = styles()
    if name not in known:
        raise UserError(f"there is no style {name!r}; choose one of {', '.join(known)}")
    return known[name]


def _read(path: Path) -> Style:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    meters = {
        meter: MeterRule(rule["weight"], tuple(rule["tempo"]))
        for meter, rule in data.pop("meters").items()
    }
    grooves = tuple(Groove(**_freeze(groove)) for groove in data.pop("groove"))
    comps = tuple(Comp(**_freeze(comp)) for comp in data.pop("comp"))
    lead = Lead(**_freeze(data.pop("lead")))
    return Style(
        name=path.stem, meters=meters, grooves=grooves, comps=comps, lead=lead, **_freeze(data)
    )


def _freeze(table: dict[str, Any]) -> dict[str, Any]:
    """Lists to tuples, one level into tables of lists."""
    frozen: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            frozen[key] = _freeze(value)
        else:
            frozen[key] = tuple(value) if isinstance(value, list) else value
    return frozen
