"""A chart, which is a song before it is played, and how the built-in band plays it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from shared.band.composing.basslines import bass_line
from shared.band.composing.comping import comp_line
from shared.band.composing.form import Section
from shared.band.composing.grooves import DRUM_KEYS, drum_bar, fill
from shared.band.composing.material import Comper, Material, Setting
from shared.band.composing.melody import lead_line
from shared.band.composing.performance import Clock, perform
from shared.band.composing.timeline import Event, Timeline
from shared.band.scores.score import Part, Score
from shared.music.chord import NOTE_NAMES, Chord

# Seconds after the last bar, in which the sound dies away.
TAIL = 1.0
# How loudly a section of level 0, 1 and 2 is played.
LOUDNESS = (0.86, 0.94, 1.03)
SPARSE = ("intro", "break")  # sections in which some players may rest


@dataclass(frozen=True)
class Chart:
    """A song before it is played.

    Attributes:
        setting: style, meter, tempo, key and feel.
        sections: the form, in bars.
        timeline: the chords in beats, with the tonic in a closing bar after the last section.
        compers: the comping instruments.
        materials: what is played in the sections of each name.
        rests: from which beat to which beat all players except the drums are silent.
    """

    setting: Setting
    sections: tuple[Section, ...]
    timeline: Timeline
    compers: tuple[Comper, ...]
    materials: Mapping[str, Material]
    rests: tuple[tuple[float, float], ...] = ()

    @property
    def bars(self) -> int:
        """How many bars there are before the closing bar."""
        return self.sections[-1].first_bar + self.sections[-1].bars


@dataclass
class _Band:
    """What each player has played so far."""

    layers: tuple[list[Event], ...]
    bass: list[Event] = field(default_factory=list)
    drums: list[Event] = field(default_factory=list)
    voice: list[Event] = field(default_factory=list)
    solo: list[Event] = field(default_factory=list)


def play_chart(rng: np.random.Generator, chart: Chart) -> Score:
    """Let the built-in band play a chart."""
    setting, timeline = chart.setting, chart.timeline
    kind, beats = setting.style, setting.beats_per_bar
    band = _Band(tuple([] for _ in chart.compers))
    center = int(rng.integers(kind.lead.center[0], kind.lead.center[1] + 1))
    kit = str(rng.choice(kind.fills))
    for section in chart.sections:
        material = chart.materials[section.name]
        _play(rng, band, setting, section, material, timeline, center, kit)
    if not band.voice:
        band.voice, band.solo = band.solo, []
    for player in (band.bass, band.voice, band.solo, *band.layers):
        player[:] = _rested(player, chart.rests)
    last = chart.materials[chart.sections[-1].name]
    _close(band, timeline, float(chart.bars * beats), beats, last)
    clock = Clock(setting.tempo, setting.swing, kind.swing_unit)
    bars = chart.bars + 1
    count, unit = setting.meter.split("/")
    return Score(
        style=kind.name,
        tempo=setting.tempo,
        time_signature=(int(count), int(unit)),
        key=f"{NOTE_NAMES[setting.tonic]} {setting.mode}",
        duration=clock.seconds(bars * beats) + TAIL,
        beats=tuple(clock.seconds(beat) for beat in range(bars * beats)),
        downbeats=tuple(clock.seconds(bar * beats) for bar in range(bars)),
        chords=tuple(
            Chord(clock.seconds(s.start), clock.seconds(s.end), s.root, s.chord.quality, s.bass)
            for s in timeline.spans
        ),
        parts=_cast(rng, band, setting, chart.compers, clock),
    )


def _play(
    rng: np.random.Generator,
    band: _Band,
    setting: Setting,
    section: Section,
    material: Material,
    timeline: Timeline,
    center: int,
    kit: str,
) -> None:
    beats = setting.beats_per_bar
    start = float(section.first_bar * beats)
    end = start + section.bars * beats
    lead = setting.style.lead
    loudness = LOUDNESS[section.level]

    def add(player: list[Event], events: list[Event]) -> None:
        player += [event.louder(loudness) for event in events]

    # In introductions and breaks the bass or the drums may rest.
    sparse = section.name in SPARSE
    if not (sparse and rng.random() < 0.35):
        add(
            band.bass,
            bass_line(rng, material.bass, material.bass_pattern, timeline, start, end, beats),
        )
    if not (sparse and rng.random() < 0.3):
        add(band.drums, _drum(rng, setting, section, material, kit))
    for layer, plan in zip(band.layers, material.comps, strict=True):
        if plan:
            add(layer, comp_line(plan, timeline, start, end, beats))
    if not sparse and (section.name != "outro" or rng.random() < 0.5):
        # The lead plays higher in more energetic sections.
        height = center + 2 * (section.level - 1)
        line = lead_line(rng, material.motifs, timeline, start, end, height, lead.gate, lead.scoops)
        add(band.solo if section.name == "solo" else band.voice, line)


def _drum(
    rng: np.random.Generator, setting: Setting, section: Section, material: Material, kit: str
) -> list[Event]:
    """Play the groove, with a fill at the end and, in loud sections, a crash at the beginning."""
    beats, chance = setting.beats_per_bar, setting.style.fill_chance
    events: list[Event] = []
    for number in range(section.bars):
        start = float((section.first_bar + number) * beats)
        filled = 0
        if number == section.bars - 1 and rng.random() < chance:
            filled = int(rng.integers(1, min(beats, 4) + 1))
        elif number % 4 == 3 and rng.random() < 0.25 * chance:
            filled = 1
        events += drum_bar(material.drums, number, start, beats, until=beats - filled)
        if filled:
            at = start + beats - filled
            events += fill(rng, kit, at, filled, setting.grid, section.level)
    if section.level and kit != "brushes" and rng.random() < 0.8:
        crash = "crash" if rng.random() < 0.7 else "crash2"
        events.append(Event(float(section.first_bar * beats), 0.5, DRUM_KEYS[crash], 0.85))
    return events


def _rested(events: list[Event], rests: tuple[tuple[float, float], ...]) -> list[Event]:
    """Leave out the events that begin in a rest, and end the others where a rest begins."""
    for start, end in rests:
        events = [
            replace(event, length=min(event.length, start - event.beat))
            if event.beat < start - 1e-6
            else event
            for event in events
            if not start - 1e-6 <= event.beat < end - 1e-6
        ]
    return events


def _close(band: _Band, timeline: Timeline, start: float, beats: int, material: Material) -> None:
    """Play the closing bar, in which everyone holds the tonic."""
    end = start + beats
    span = timeline.at(start)
    plan = replace(material.bass, text="hold", gate=0.9, slides=0.0, turns=0.0)
    rng = np.random.default_rng(0)  # not the song's: nothing about a held note is random
    band.bass += bass_line(rng, plan, None, timeline, start, end, beats)
    band.drums += [Event(start, 0.5, DRUM_KEYS[name], 0.9) for name in ("kick", "crash")]
    for layer, comp in zip(band.layers, material.comps, strict=True):
        if comp:
            held = replace(comp, text="hold", gate=0.9)
            layer += comp_line(held, timeline, start, end, beats)
    if band.voice:
        near = band.voice[-1].pitch
        pitch = next(p for p in range(near - 5, near + 7) if p % 12 == span.root)
        band.voice.append(Event(start, beats * 0.8, pitch, 0.8))


def _cast(
    rng: np.random.Generator,
    band: _Band,
    setting: Setting,
    compers: tuple[Comper, ...],
    clock: Clock,
) -> tuple[Part, ...]:
    """Give every player an instrument and human timing."""
    kind = setting.style

    def part(source: str, name: str, program: int, events: list[Event]) -> list[Part]:
        drums = source == "drums"
        # All players except the drums are a little before or behind the beat.
        drag = 0.0 if drums else float(np.clip(rng.normal(0.0, kind.humanise), -10, 10))
        alone = source in ("vocals", "bass")
        notes, bends = perform(rng, clock, events, kind.humanise, drag, alone)
        return [Part(source, name, program, drums, notes, bends)] if events else []

    def of(programs: tuple[int, ...]) -> int:
        return int(rng.choice(programs))

    parts = part("vocals", "lead", of(kind.lead.programs), band.voice)
    parts += part("bass", "bass", of(kind.bass_programs), band.bass)
    parts += part("drums", "drums", of(kind.drum_program), band.drums)
    for comper, layer in zip(compers, band.layers, strict=True):
        parts += part("other", comper.comp.name, comper.program, layer)
    parts += part("other", "solo", of(kind.lead.programs), band.solo)
    return tuple(parts)
