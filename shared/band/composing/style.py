"""Styles: what each kind of music allows, read from the TOML files in `styles/`."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from shared.band.composing.grooves import Groove
from shared.errors import UserError

FOLDER = Path(__file__).parent / "styles"


@dataclass(frozen=True)
class MeterRule:
    """How often a style uses a meter such as "6/8", and at which beats per minute."""

    weight: float
    tempo: tuple[float, float]


@dataclass(frozen=True)
class Comp:
    """A comping instrument.

    Attributes:
        name: what its track is called.
        programs: General MIDI programs to choose from.
        patterns: comping patterns to choose from, for each meter.
        voicing: close, power, open, shell or root.
        center: range of the MIDI pitch that it stays around.
        voices: how many notes a chord has at most.
        chance: how often a song has the instrument.
        levels: the levels of the sections in which it plays.
        gate: range of the share of its length that a note sounds.
        left_hand: how often it adds the bass note.
        strum: beats between the notes of a chord.
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
    """The lead instrument.

    Attributes:
        programs: General MIDI programs to choose from.
        center: range of the MIDI pitch that it stays around.
        density: range of the chance that a note begins at a place of the grid.
        grid: beats between the places where a note may begin.
        gate: the share of its length that a note sounds.
        scoops: the chance that a long note begins a semitone low.
    """

    programs: tuple[int, ...]
    center: tuple[int, int] = (65, 74)
    density: tuple[float, float] = (0.45, 0.75)
    grid: float = 0.5
    gate: float = 0.92
    scoops: float = 0.15


@dataclass(frozen=True)
class Style:
    """Everything that the composer needs to know of a style.

    Attributes:
        name: the name of its file.
        meters: the meters that it may have.
        modes: weights of the keys of `harmony.MODES`.
        colours: weights of the colours of `harmony.read_numeral`.
        forms: forms to choose from, such as "intro:4 verse:8 chorus:8".
        progressions: progressions to choose from, for each mode.
        grooves: drum grooves to choose from.
        comps: comping instruments; every song has the first.
        lead: the lead instrument.
        bass_programs: General MIDI programs to choose from.
        bass_low: lowest MIDI pitches of a root to choose from.
        bass_gate: range of the share of its length that a note sounds.
        bass_slides: as in BassPlan, in half of the songs.
        bass_turns: as in BassPlan, in most songs.
        swing: range of the share of the time that the first half of a swing unit takes.
        swing_unit: in beats.
        spice: range of how much progressions are varied (harmony.spice).
        invented: how often a random walk takes the place of a progression of the list.
        busy: how often a bar of a walk holds two chords.
        fills: kits of drum fills to choose from.
        fill_chance: how often a section ends with a fill.
        drum_program: drum kits to choose from.
        humanise: about how many ms an onset is early or late.
        modulation: how often a song modulates.
        pedal: how often an introduction or bridge is over a held tonic.
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
    """Read all styles. They are in alphabetical order of their names."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.toml"))}


def find_style(name: str) -> Style:
    """Return the style called `name`.

    Raises:
        UserError: there is none of this name.
    """
    known = styles()
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean '{near[0]}'? Choose" if near else "choose"
        raise UserError(f"there is no style '{name}': {hint} one of {', '.join(known)}")
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
    """Turn lists into tuples, also those in tables."""
    frozen: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            frozen[key] = _freeze(value)
        else:
            frozen[key] = tuple(value) if isinstance(value, list) else value
    return frozen
