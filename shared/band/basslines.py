"""Bass lines: a rhythm that the section keeps, spelled in degrees of the chord of the moment.

Bass patterns use these symbols: `R` root (the slash bass, where there is one), `8` its octave,
`5` fifth, `v` the fifth below, `3` third, `7` seventh, `6` sixth, `a` approach to the next chord's
bass, `n` that bass itself ahead of its time, `x` a muted ghost. Three names stand for a rule
instead of a text: `lock` (with the kick drum), `walk` (quarters that lead to the next chord),
`hold` (one note a chord).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from shared.band.pattern import Pattern, Step, parse_pattern, pattern_of
from shared.band.score import QUALITIES
from shared.band.timeline import Event, Span, Timeline

LOWEST, HIGHEST = 26, 60
RULES = ("lock", "walk", "hold")


@dataclass(frozen=True)
class BassPlan:
    """What a section's bass keeps to: its pattern, register (`low` MIDI), touch and habits."""

    text: str
    bars: int
    low: int
    gate: float
    approach: int
    slides: float
    kick: Pattern


def bass_line(
    rng: np.random.Generator,
    plan: BassPlan,
    timeline: Timeline,
    first_bar: int,
    bars: int,
    beats_per_bar: int,
) -> list[Event]:
    """Play `plan` for `bars` bars from `first_bar` on; monophonic, in time order."""
    start = float(first_bar * beats_per_bar)
    end = start + bars * beats_per_bar
    if plan.text == "hold":
        spans = timeline.between(start, end)
        events = [Event(s.start, s.end - s.start, _place(s.bass, plan.low), 0.8) for s in spans]
    elif plan.text == "walk":
        events = _walk(rng, plan, timeline, start, end)
    else:
        events = _spell(plan, timeline, first_bar, bars, beats_per_bar)
    return _touch(rng, plan, _monophonic(events, end))


def _place(pitch_class: int, low: int) -> int:
    return low + (pitch_class - low) % 12


def _tone(span: Span, degree: int) -> int:
    """Semitones from the root to the chord's third, fifth, sixth or seventh."""
    steps = QUALITIES[span.quality][0]
    wanted = {3: (3, 4, 5, 2), 5: (7, 6, 8), 6: (9, 7), 7: (10, 11, 9)}[degree]
    return next((step for step in wanted if step in steps), 7)


def _spell(
    plan: BassPlan, timeline: Timeline, first_bar: int, bars: int, beats_per_bar: int
) -> list[Event]:
    if plan.text == "lock":
        beats = plan.kick.beats
        pattern = pattern_of(beats, (s.beat for s in plan.kick.steps), "R", beats_per_bar / 2)
    else:
        pattern = parse_pattern(plan.text, beats_per_bar, plan.bars)
    events: list[Event] = []
    for number in range(bars):
        bar_start = float((first_bar + number) * beats_per_bar)
        steps = list(pattern.in_bar(number, beats_per_bar))
        starts_pattern = (number * beats_per_bar) % pattern.beats == 0
        if pattern.carry and starts_pattern:
            if events:
                last = events[-1]
                events[-1] = replace(last, length=bar_start + pattern.carry - last.beat)
            else:
                steps.insert(0, Step(0.0, pattern.carry, "R"))
        for step in _with_changes(steps, timeline, bar_start, beats_per_bar):
            at = bar_start + step.beat
            fresh = not events or timeline.at(events[-1].beat) is not timeline.at(at)
            events.append(_note(plan, timeline, at, step, fresh))
    return events


def _with_changes(
    steps: list[Step], timeline: Timeline, bar_start: float, beats_per_bar: int
) -> list[Step]:
    """Break held notes where the chord's bass changes inside the bar, so that no root outstays."""
    broken = []
    for step in steps:
        if step.symbol == "n":
            broken.append(step)
            continue
        at = bar_start + step.beat
        pieces = timeline.between(at, min(at + step.length, bar_start + beats_per_bar))
        broken.append(replace(step, length=pieces[0].end - at) if pieces else step)
        for before, piece in zip(pieces, pieces[1:], strict=False):
            if piece.bass != before.bass:
                broken.append(Step(piece.start - bar_start, piece.end - piece.start, "R"))
            else:
                last = broken[-1]
                broken[-1] = replace(last, length=last.length + piece.end - piece.start)
    return broken


def _note(plan: BassPlan, timeline: Timeline, at: float, step: Step, fresh: bool) -> Event:
    span = timeline.at(at)
    root = _place(span.bass, plan.low)
    symbol, velocity = step.symbol, 0.8
    if fresh and symbol not in "xan":
        symbol = "R"
    slash = span.bass != span.root
    if symbol == "R" or (slash and symbol in "35v67"):
        pitch = root
        velocity = 0.88 if fresh else 0.8
    elif symbol == "8":
        pitch = root + 12
    elif symbol == "v":
        fifth = _tone(span, 5)
        pitch = root + fifth - 12 if root + fifth - 12 >= LOWEST else root + fifth
    elif symbol in "3567":
        pitch = root + _tone(span, int(symbol))
    elif symbol == "a":
        target = _place(timeline.after(at).bass, plan.low)
        leads = timeline.at(at + 1.01).bass != span.bass
        pitch = target + plan.approach if leads else root + (0 if slash else _tone(span, 5))
    elif symbol == "n":
        following = timeline.at(at + max(step.length, 1.0) + 1e-3)
        pitch = _place(following.bass, plan.low)
    else:
        return Event(at, min(step.length, 0.2), root, 0.4)
    return Event(at, step.length, max(pitch, LOWEST), velocity)


def _walk(
    rng: np.random.Generator, plan: BassPlan, timeline: Timeline, start: float, end: float
) -> list[Event]:
    """Quarters: the root on the chord, chord and scale tones on, a half step into the next root."""
    events: list[Event] = []
    for span in timeline.between(start, end):
        beats = max(1, round(span.end - span.start))
        root = _place(span.bass, plan.low)
        target = _place(timeline.at(span.end + 1e-3).bass, plan.low)
        chord_tones = sorted(
            pitch
            for pitch in range(root - 5, root + 13)
            if pitch % 12 in span.tones and pitch >= LOWEST
        )
        scale = timeline.scale(span.start)
        line = [root]
        rising = target > root or (target == root and rng.random() < 0.6)
        for beat in range(1, beats):
            here = line[-1]
            if beat == beats - 1:
                side = -1 if target > here else 1
                if target == here:
                    side = int(rng.choice((-1, 1)))
                line.append(target + side * int(rng.choice((1, 1, 2))))
            else:
                ahead = [p for p in chord_tones if (p > here if rising else p < here)]
                ahead = ahead if rising else ahead[::-1]
                if not ahead or rng.random() < 0.15:
                    rising = not rising
                    ahead = [p for p in chord_tones if p != here]
                    ahead.sort(key=lambda p, here=here: abs(p - here))
                step = ahead[0]
                between = [p for p in range(min(here, step) + 1, max(here, step))]
                passing = [p for p in between if p % 12 in scale]
                take_passing = beat % 2 == 1 and passing and rng.random() < 0.3
                line.append(passing[0] if take_passing else step)
        for beat, pitch in enumerate(line):
            at = span.start + beat * (span.end - span.start) / beats
            pitch = min(max(pitch, LOWEST), HIGHEST)
            events.append(Event(at, (span.end - span.start) / beats, pitch, 0.8))
    return events


def _monophonic(events: list[Event], end: float) -> list[Event]:
    """Cut every note at the next one's onset and at the section's end."""
    kept: list[Event] = []
    for event in sorted(events, key=lambda e: e.beat):
        if kept and event.beat - kept[-1].beat < 1e-6:
            kept[-1] = event
        else:
            kept.append(event)
    limits = [*(event.beat for event in kept[1:]), end]
    return [
        replace(event, length=min(event.length, limit - event.beat))
        for event, limit in zip(kept, limits, strict=True)
    ]


def _touch(rng: np.random.Generator, plan: BassPlan, events: list[Event]) -> list[Event]:
    """Gate the lengths, fold stray pitches into range, and slide into some long notes."""
    touched = []
    for event in events:
        pitch = event.pitch
        while pitch > HIGHEST:
            pitch -= 12
        slide = 0.0
        if plan.slides and event.length >= 0.9 and rng.random() < plan.slides:
            slide = float(rng.choice((-2.0, -1.0, 1.0), p=(0.5, 0.35, 0.15)))
        touched.append(replace(event, pitch=pitch, length=event.length * plan.gate, slide=slide))
    return touched
