"""What is chosen once for a song, and once for all sections of the same name.

Because sections repeat, a listener or a model can predict a song from the part that it knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shared.band.composing import harmony
from shared.band.composing.basslines import RULES, BassPlan, bass_pattern
from shared.band.composing.comping import CompPlan
from shared.band.composing.form import BORROWS, Section
from shared.band.composing.grooves import EIGHTH, SIXTEENTH, TRIPLE, Groove, vary
from shared.band.composing.melody import Motif, vary_motif, write_motif
from shared.band.composing.pattern import Pattern
from shared.band.composing.style import Comp, Style

PEDAL_SECTIONS = ("intro", "pre", "bridge", "build")
NO_KICK = Pattern(1, ())


@dataclass(frozen=True)
class Setting:
    """What holds for the whole song.

    Attributes:
        style: what kind of music it is.
        meter: such as "6/8".
        tempo: beats per minute.
        mode: a key of `harmony.MODES`.
        colour: which chords a bare numeral stands for (harmony.read_numeral).
        tonic: a pitch class.
        spice: from 0 to 1, how much progressions are varied (harmony.spice).
        swing: the share of the time that the first half of a swing unit takes.
    """

    style: Style
    meter: str
    tempo: float
    mode: str
    colour: str
    tonic: int
    spice: float
    swing: float

    @property
    def compound(self) -> bool:
        """Whether a beat is a dotted quarter."""
        return self.meter.endswith("/8")

    @property
    def beats_per_bar(self) -> int:
        """How many beats a bar has."""
        count = int(self.meter.split("/")[0])
        return count // 3 if self.compound else count

    @property
    def grid(self) -> float:
        """Beats between the places where a player may add a note; a shuffle has no sixteenths."""
        if self.compound:
            return TRIPLE
        shuffled = self.swing > 0.55 and self.style.swing_unit == 1.0
        return EIGHTH if shuffled else SIXTEENTH

    @property
    def home(self) -> harmony.RelativeChord:
        """The tonic chord."""
        numeral = "i" if 3 in harmony.MODES[self.mode] else "I"
        return harmony.read_numeral(numeral, self.mode, self.colour)


@dataclass(frozen=True)
class Comper:
    """A comping instrument of the song: what the style allows, and what was chosen of it."""

    comp: Comp
    program: int
    center: int
    gate: float
    left_hand: bool


@dataclass(frozen=True)
class Material:
    """The music of all sections of one name.

    Attributes:
        chords: the progression, which is repeated; empty where only the timeline has the chords.
        drums: patterns by the names of the drum voices.
        bass: how the bass plays.
        bass_pattern: the bass's pattern; None where it follows a rule.
        comps: for each comping instrument how it plays; None where it is silent.
        motifs: the motifs of the lead, to be played in turn.
    """

    chords: harmony.Bars
    drums: dict[str, Pattern]
    bass: BassPlan
    bass_pattern: Pattern | None
    comps: tuple[CompPlan | None, ...]
    motifs: tuple[Motif, ...]


@dataclass(frozen=True)
class _Rhythm:
    """What sections of one level share: the drums, the bass over them, the comping rhythms."""

    drums: dict[str, Pattern]
    kick: Pattern
    bass_text: str
    bass_pattern: Pattern | None
    comp_texts: tuple[str, ...]


def choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Choose one of the keys with the probability that its weight gives it."""
    values = np.array(list(weights.values()), dtype=float)
    return list(weights)[int(rng.choice(len(values), p=values / values.sum()))]


def choose_setting(rng: np.random.Generator, style: Style) -> Setting:
    """Choose meter, tempo, mode, key and feel of a song in `style`."""
    meter = choose(rng, {name: rule.weight for name, rule in style.meters.items()})
    low, high = style.meters[meter].tempo
    return Setting(
        style=style,
        meter=meter,
        tempo=round(float(rng.uniform(low, high)), 1),
        mode=choose(rng, style.modes),
        colour=choose(rng, style.colours),
        tonic=int(rng.integers(12)),
        spice=float(rng.uniform(*style.spice)),
        swing=0.5 if meter.endswith("/8") else float(rng.uniform(*style.swing)),
    )


def choose_compers(rng: np.random.Generator, style: Style) -> tuple[Comper, ...]:
    """Choose the song's comping instruments: always the style's first, the others by chance."""
    return tuple(
        Comper(
            comp=comp,
            program=int(rng.choice(comp.programs)),
            center=int(rng.integers(comp.center[0], comp.center[1] + 1)),
            gate=float(rng.uniform(*comp.gate)),
            left_hand=bool(rng.random() < comp.left_hand),
        )
        for number, comp in enumerate(style.comps)
        if number == 0 or rng.random() < comp.chance
    )


def write_materials(
    rng: np.random.Generator,
    setting: Setting,
    sections: tuple[Section, ...],
    compers: tuple[Comper, ...],
    chords: Mapping[str, harmony.Bars] | None = None,
) -> dict[str, Material]:
    """Write the music of every section name in `sections`.

    Args:
        rng: the source of all chance.
        setting: what holds for the whole song.
        sections: the form.
        compers: the comping instruments.
        chords: the progression of each section name, where it is given; by default progressions are
            composed. A name that is missing has none, because the timeline has them.
    """
    style, beats = setting.style, setting.beats_per_bar
    low = int(rng.choice(style.bass_low))
    gate = float(rng.uniform(*style.bass_gate))
    slides = style.bass_slides if rng.random() < 0.5 else 0.0
    turns = style.bass_turns if rng.random() < 0.6 else 0.0
    approach = int(rng.choice((-1, -1, 1, -2, 2)))
    eighth = TRIPLE if setting.compound else EIGHTH
    rhythms: dict[int, _Rhythm] = {}
    progressions: dict[str, harmony.Bars] = {}
    materials: dict[str, Material] = {}
    for section in sections:
        name, level = section.name, section.level
        if name in materials:
            continue
        if level not in rhythms:
            rhythms[level] = _write_rhythm(rng, setting, level, compers)
        rhythm = rhythms[level]
        if chords is None:
            bars = _compose_chords(rng, setting, name, progressions)
        else:
            bars = chords.get(name, ())
        grid = TRIPLE if setting.compound else style.lead.grid
        motif = write_motif(rng, beats, grid, float(rng.uniform(*style.lead.density)))
        answer = vary_motif(rng, motif)
        materials[name] = Material(
            chords=bars,
            drums=rhythm.drums,
            bass=BassPlan(rhythm.bass_text, low, gate, approach, slides, turns, eighth),
            bass_pattern=rhythm.bass_pattern,
            comps=_plan_comps(compers, rhythm, level),
            motifs=(motif, answer) if rng.random() < 0.5 else (motif, motif, answer, motif),
        )
    return materials


def _compose_chords(
    rng: np.random.Generator, setting: Setting, name: str, progressions: dict[str, harmony.Bars]
) -> harmony.Bars:
    """Return the chords of a section name; what is composed is remembered in `progressions`."""
    source = BORROWS.get(name, name)
    if source not in progressions:
        progressions[source] = _write_progression(rng, setting)
    if name in PEDAL_SECTIONS and rng.random() < setting.style.pedal:
        return harmony.on_pedal(progressions[source])
    return progressions[source]


def _write_rhythm(
    rng: np.random.Generator, setting: Setting, level: int, compers: tuple[Comper, ...]
) -> _Rhythm:
    beats = setting.beats_per_bar
    groove = _choose_groove(rng, setting, level)
    plain = groove.patterns(beats)
    drums = vary(rng, plain, beats, setting.grid, groove.loose)
    kick, plain_kick = drums.get("kick", NO_KICK), plain.get("kick", NO_KICK)
    text = str(rng.choice(groove.bass))
    ruled = text in RULES and text != "lock"
    return _Rhythm(
        drums=drums,
        kick=kick,
        bass_text=text,
        bass_pattern=None if ruled else bass_pattern(rng, text, kick, plain_kick, beats),
        comp_texts=tuple(
            str(rng.choice(comper.comp.patterns.get(setting.meter, ("hold",))))
            for comper in compers
        ),
    )


def _choose_groove(rng: np.random.Generator, setting: Setting, level: int) -> Groove:
    fitting = [groove for groove in setting.style.grooves if groove.meter == setting.meter]
    nearest = min(abs(groove.level - level) for groove in fitting)
    near = [groove for groove in fitting if abs(groove.level - level) == nearest]
    return near[int(rng.integers(len(near)))]


def _plan_comps(
    compers: tuple[Comper, ...], rhythm: _Rhythm, level: int
) -> tuple[CompPlan | None, ...]:
    plays = [level in comper.comp.levels for comper in compers]
    plays[0] = plays[0] or not any(plays)
    return tuple(
        CompPlan(
            text=text,
            voicing=comper.comp.voicing,
            center=comper.center,
            voices=comper.comp.voices,
            gate=comper.gate,
            left_hand=comper.left_hand,
            strum=comper.comp.strum,
            kick=rhythm.kick,
        )
        if playing
        else None
        for comper, text, playing in zip(compers, rhythm.comp_texts, plays, strict=True)
    )


def _write_progression(rng: np.random.Generator, setting: Setting) -> harmony.Bars:
    style, mode = setting.style, setting.mode
    written = style.progressions.get(mode, ())
    if not written or rng.random() < style.invented:
        text = harmony.walk_progression(rng, mode, int(rng.choice((4, 4, 4, 8, 2))), style.busy)
    else:
        text = written[int(rng.integers(len(written)))]
    text = harmony.spice(rng, text, mode, setting.spice)
    bars = harmony.read_progression(text, mode, setting.colour)
    if len(bars) <= 4 and rng.random() < 0.15:
        bars = tuple(bar for bar in bars for _ in range(2))
    return bars
