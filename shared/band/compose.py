"""Compose a song: choose a style, a form and a key, give each section its material, play it.

What a section decides (chords, groove, bass pattern, comping rhythm, motif) it keeps whenever
its name returns, so that a listener, or a model, can learn a song from the part it has heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.band import harmony
from shared.band.basslines import BassPlan, bass_line
from shared.band.comping import CompPlan, comp_line
from shared.band.form import BORROWS, Section, plan_form
from shared.band.grooves import DRUM_KEYS, Groove, drum_bar, fill, vary
from shared.band.melody import Motif, sing, vary_motif, write_motif
from shared.band.pattern import Pattern
from shared.band.performance import Clock, perform
from shared.band.score import NOTE_NAMES, Chord, Part, Score
from shared.band.style import Comp, Style, find_style, styles
from shared.band.timeline import Event, Span, Timeline
from shared.errors import UserError

TAIL = 1.0
EMPTY = Pattern(1, ())


@dataclass(frozen=True)
class Setting:
    """What holds for the whole song."""

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
        return self.meter.endswith("/8")

    @property
    def beats_per_bar(self) -> int:
        count = int(self.meter.split("/")[0])
        return count // 3 if self.compound else count


@dataclass(frozen=True)
class Material:
    """What a section keeps: chords to repeat, drums, bass, comping (None: silent) and motifs."""

    chords: harmony.Bars
    drums: dict[str, Pattern]
    bass: BassPlan
    comps: tuple[CompPlan | None, ...]
    motifs: tuple[Motif, ...]


@dataclass(frozen=True)
class Comper:
    """A comping instrument of the song: what the style says, and the program chosen."""

    comp: Comp
    program: int
    center: int
    gate: float
    left_hand: bool


def compose(seed: int, style: str | None = None, seconds: float | None = None) -> Score:
    """Compose the song of `seed`, in `style` or one the seed chooses, about `seconds` long.

    The same arguments give the same Score. Raises UserError for an unknown style or a length
    that is not positive.
    """
    if seconds is not None and not seconds > 0:
        raise UserError(f"a song cannot last {seconds} s; ask for a positive number of seconds")
    rng = np.random.default_rng(seed)
    names = tuple(styles())
    drawn = names[int(rng.integers(len(names)))]
    setting = _set(rng, find_style(style or drawn))
    kind = setting.style
    beats = setting.beats_per_bar
    bar_seconds = beats * 60.0 / setting.tempo
    music = None if seconds is None else max(seconds - TAIL - bar_seconds, bar_seconds)
    sections = plan_form(rng, kind.forms, bar_seconds, music, kind.modulation)
    last_bar = sections[-1].first_bar + sections[-1].bars
    end = (last_bar + 1) * beats

    compers = _hire(rng, kind)
    materials = _write_materials(rng, setting, sections, compers)
    timeline = _lay_chords(setting, sections, materials, last_bar)

    drums: list[Event] = []
    bass: list[Event] = []
    voice: list[Event] = []
    solo: list[Event] = []
    layers: list[list[Event]] = [[] for _ in compers]
    center = int(rng.integers(kind.lead.center[0], kind.lead.center[1] + 1))
    kit = str(rng.choice(kind.fills))
    for section in sections:
        material = materials[section.name]
        start, stop = (
            float(section.first_bar * beats),
            float((section.first_bar + section.bars) * beats),
        )
        sparse = section.name in ("intro", "break") and len(sections) > 1
        # The bass pauses in some introductions and breaks; the drums in others.
        if not (sparse and rng.random() < 0.35):
            bass += bass_line(rng, material.bass, timeline, section.first_bar, section.bars, beats)
        if not (sparse and rng.random() < 0.3):
            drums += _drums(rng, setting, section, material.drums, kit)
        for layer, plan in zip(layers, material.comps, strict=True):
            if plan:
                layer += comp_line(plan, timeline, section.first_bar, section.bars, beats)
        singing = section.name not in ("intro", "break") and (
            section.name != "outro" or rng.random() < 0.5
        )
        if singing or len(sections) == 1:
            line = sing(
                list(material.motifs), timeline, start, stop,
                center + 2 * (section.level - 1), kind.lead.gate, kind.lead.scoops, rng,
            )  # fmt: skip
            (solo if section.name == "solo" else voice).extend(line)
    _end(timeline, last_bar * beats, beats, bass, drums, layers, voice, materials, sections)

    clock = Clock(setting.tempo, setting.swing, kind.swing_unit)
    parts = []
    bass_program = int(rng.choice(kind.bass_programs))
    voice_program = int(rng.choice(kind.lead.programs))
    solo_program = int(rng.choice(kind.lead.programs))
    casting = [
        ("vocals", "lead", voice_program, False, voice),
        ("bass", "bass", bass_program, False, bass),
        ("drums", "drums", int(rng.choice(kind.drum_program)), True, drums),
        *(
            ("other", comper.comp.name, comper.program, False, layer)
            for comper, layer in zip(compers, layers, strict=True)
        ),
        ("other", "solo", solo_program, False, solo),
    ]
    for source, name, program, is_drum, events in casting:
        if events:
            notes, bends = perform(
                rng, clock, events, kind.humanise, monophonic=source in ("bass", "vocals")
            )
            parts.append(Part(source, name, program, is_drum, notes, bends))

    return Score(
        style=kind.name,
        tempo=setting.tempo,
        time_signature=(int(setting.meter.split("/")[0]), int(setting.meter.split("/")[1])),
        key=f"{NOTE_NAMES[setting.tonic]} {setting.mode}",
        duration=clock.seconds(end) + TAIL,
        beats=tuple(clock.seconds(beat) for beat in range(end)),
        downbeats=tuple(clock.seconds(bar * beats) for bar in range(last_bar + 1)),
        chords=_chords(clock, timeline),
        parts=tuple(parts),
    )


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    values = np.array(list(weights.values()), dtype=float)
    return list(weights)[int(rng.choice(len(values), p=values / values.sum()))]


def _set(rng: np.random.Generator, style: Style) -> Setting:
    meter = _pick(rng, {name: rule.weight for name, rule in style.meters.items()})
    low, high = style.meters[meter].tempo
    return Setting(
        style=style,
        meter=meter,
        tempo=round(float(rng.uniform(low, high)), 1),
        mode=_pick(rng, style.modes),
        colour=_pick(rng, style.colours),
        tonic=int(rng.integers(12)),
        spice=float(rng.uniform(*style.spice)),
        swing=0.5 if meter.endswith("/8") else float(rng.uniform(*style.swing)),
    )


def _hire(rng: np.random.Generator, style: Style) -> list[Comper]:
    """The song's comping instruments: the style's first always, the others by chance."""
    hired = [c for i, c in enumerate(style.comps) if i == 0 or rng.random() < c.chance]
    return [
        Comper(
            comp=comp,
            program=int(rng.choice(comp.programs)),
            center=int(rng.integers(comp.center[0], comp.center[1] + 1)),
            gate=float(rng.uniform(*comp.gate)),
            left_hand=bool(rng.random() < comp.left_hand),
        )
        for comp in hired
    ]


def _write_materials(
    rng: np.random.Generator,
    setting: Setting,
    sections: tuple[Section, ...],
    compers: list[Comper],
) -> dict[str, Material]:
    style, beats = setting.style, setting.beats_per_bar
    low = int(rng.choice(style.bass_low))
    gate = float(rng.uniform(*style.bass_gate))
    slides = style.bass_slides if rng.random() < 0.5 else 0.0
    approach = int(rng.choice((-1, -1, 1, -2, 2)))
    grooves: dict[int, tuple[Groove, dict[str, Pattern]]] = {}
    progressions: dict[str, harmony.Bars] = {}
    basses: dict[int, str] = {}
    comp_texts: dict[tuple[int, int], str] = {}
    materials: dict[str, Material] = {}
    for section in sections:
        if section.name in materials:
            continue
        level = section.level
        if level not in grooves:
            groove = _choose_groove(rng, setting, level)
            varied = vary(rng, groove.patterns(beats), beats, groove.loose)
            grooves[level] = groove, varied
            basses[level] = str(rng.choice(groove.bass))
        source = BORROWS.get(section.name, section.name)
        if source not in progressions:
            progressions[source] = _progression(rng, setting)
        groove, drums = grooves[level]
        kick = drums.get("kick") or drums.get("kick2") or EMPTY
        motif = write_motif(
            rng,
            beats,
            1 / 3 if setting.compound else style.lead.grid,
            float(rng.uniform(*style.lead.density)),
        )
        answer = vary_motif(rng, motif)
        playing = [level in comper.comp.levels for comper in compers]
        if not any(playing):
            playing[0] = True
        comps: list[CompPlan | None] = []
        for number, (comper, plays) in enumerate(zip(compers, playing, strict=True)):
            if (number, level) not in comp_texts:
                texts = comper.comp.patterns.get(setting.meter, ("hold",))
                comp_texts[number, level] = str(rng.choice(texts))
            comps.append(
                CompPlan(
                    text=comp_texts[number, level],
                    voicing=comper.comp.voicing,
                    center=comper.center,
                    voices=comper.comp.voices,
                    gate=comper.gate,
                    left_hand=comper.left_hand,
                    strum=comper.comp.strum,
                    kick=kick,
                )
                if plays
                else None
            )
        chords = progressions[source]
        if rng.random() < style.pedal and section.name in ("intro", "pre", "bridge", "build"):
            chords = harmony.on_pedal(chords)
        bass = BassPlan(basses[level], groove.bars, low, gate, approach, slides, kick)
        materials[section.name] = Material(
            chords, drums, bass, tuple(comps), (motif, motif, answer, motif)
            if rng.random() < 0.5 else (motif, answer),
        )  # fmt: skip
    return materials


def _choose_groove(rng: np.random.Generator, setting: Setting, level: int) -> Groove:
    fitting = [groove for groove in setting.style.grooves if groove.meter == setting.meter]
    nearest = min(abs(groove.level - level) for groove in fitting)
    near = [groove for groove in fitting if abs(groove.level - level) == nearest]
    return near[int(rng.integers(len(near)))]


def _progression(rng: np.random.Generator, setting: Setting) -> harmony.Bars:
    style, mode = setting.style, setting.mode
    written = style.progressions.get(mode, ())
    busy = style.busy if setting.beats_per_bar > 1 else 0.0
    if not written or rng.random() < style.invented:
        bars = int(rng.choice((4, 4, 4, 8, 2)))
        text = harmony.walk_progression(rng, mode, bars, busy)
    else:
        text = written[int(rng.integers(len(written)))]
    text = harmony.spice(rng, text, mode, setting.spice)
    return harmony.read_progression(text, mode, setting.colour)


def _lay_chords(
    setting: Setting,
    sections: tuple[Section, ...],
    materials: dict[str, Material],
    last_bar: int,
) -> Timeline:
    """The song's chords; neighbours that are equal stay two, for players strike them anew."""
    beats = setting.beats_per_bar
    spans: list[Span] = []
    tonic = setting.tonic
    for section in sections:
        chords = materials[section.name].chords
        tonic = (setting.tonic + section.transpose) % 12
        for number in range(section.bars):
            bar = chords[number % len(chords)][:beats]
            start = (section.first_bar + number) * beats
            # Uneven halves put the longer one first, on whole beats.
            cuts = [start + -(-i * beats // len(bar)) for i in range(len(bar) + 1)]
            spans += [
                Span(float(a), float(b), chord, tonic)
                for a, b, chord in zip(cuts, cuts[1:], bar, strict=False)
            ]
    home = "i" if 3 in harmony.MODES[setting.mode] else "I"
    final = harmony.read_numeral(home, setting.mode, setting.colour)
    spans.append(Span(float(last_bar * beats), float((last_bar + 1) * beats), final, tonic))
    return Timeline(tuple(spans), setting.mode)


def _drums(
    rng: np.random.Generator,
    setting: Setting,
    section: Section,
    patterns: dict[str, Pattern],
    kit: str,
) -> list[Event]:
    beats = setting.beats_per_bar
    events: list[Event] = []
    for number in range(section.bars):
        start = float((section.first_bar + number) * beats)
        last = number == section.bars - 1
        filled = 0
        if last and rng.random() < setting.style.fill_chance:
            filled = int(rng.integers(1, min(beats, 4) + 1))
        elif number % 4 == 3 and rng.random() < 0.25 * setting.style.fill_chance:
            filled = 1
        events += drum_bar(patterns, number, start, beats, beats - filled)
        if filled:
            events += fill(
                rng, kit, start + beats - filled, filled, setting.compound, section.level
            )
        if number == 0 and section.level and kit != "brushes" and rng.random() < 0.8:
            crash = "crash" if rng.random() < 0.7 else "crash2"
            events.append(Event(start, 0.5, DRUM_KEYS[crash], 0.85))
    return events


def _end(
    timeline: Timeline,
    start: float,
    beats: int,
    bass: list[Event],
    drums: list[Event],
    layers: list[list[Event]],
    voice: list[Event],
    materials: dict[str, Material],
    sections: tuple[Section, ...],
) -> None:
    """The last bar: everyone on the tonic, held."""
    material = materials[sections[-1].name]
    span = timeline.at(start)
    low = material.bass.low
    bass.append(Event(start, beats * 0.9, low + (span.bass - low) % 12, 0.85))
    drums += [Event(start, 0.4, DRUM_KEYS[voice_], 0.9) for voice_ in ("kick", "crash")]
    for layer, plan in zip(layers, material.comps, strict=True):
        if plan:
            held = CompPlan(
                "hold", plan.voicing, plan.center, plan.voices, 0.9, plan.left_hand, 0.0, plan.kick
            )
            layer += comp_line(held, timeline, round(start / beats), 1, beats)
    if voice:
        near = voice[-1].pitch
        pitch = min(range(near - 6, near + 7), key=lambda p: ((p - span.root) % 12, abs(p - near)))
        voice.append(Event(start, beats * 0.8, pitch, 0.8))


def _chords(clock: Clock, timeline: Timeline) -> tuple[Chord, ...]:
    return tuple(
        Chord(
            clock.seconds(span.start),
            clock.seconds(span.end),
            span.root,
            span.quality,
            span.bass,
        )
        for span in timeline.spans
    )
