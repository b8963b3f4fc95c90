"""Bass lines: the rhythm of the section, in degrees of the chord that sounds.

Bass patterns use these symbols: `R` is the root (or the bass note of a slash chord), `8` its
octave, `5` the fifth, `v` the fifth below, `3` the third, `7` the seventh, `6` the sixth, `a` a
step towards the next chord's bass note, `n` that bass note itself before its chord begins, and `x`
a muted ghost note. Three names stand for a rule: `lock` plays with the kick drum, `walk` plays
quarters that lead to the next chord, and `hold` plays one note per chord.

The first note of a chord is its bass note whatever the symbol says, so that the line always states
the harmony.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from shared.band.composing.pattern import Pattern, Step, parse_pattern, pattern_of
from shared.band.composing.timeline import Event, Span, Timeline
from shared.music.chord import QUALITIES

LOWEST, HIGHEST = 26, 60  # MIDI pitches
RULES = ("lock", "walk", "hold")
# Semitones above the root that each degree may have, in the order of preference.
_DEGREES = {3: (4, 3, 5, 2), 5: (7, 6, 8), 6: (9, 7), 7: (10, 11, 9)}


@dataclass(frozen=True)
class BassPlan:
    """How the bass plays in a section.

    Attributes:
        text: a pattern, or the name of a rule.
        low: the lowest MIDI pitch of a root.
        gate: the share of its length that a note sounds.
        approach: how many semitones from the next root an approaching note is.
        slides: the chance that a long note begins with a slide.
        turns: the chance that the last two notes of a section lead to the next section.
        grid: the length of these two notes in beats.
    """

    text: str
    low: int
    gate: float
    approach: int
    slides: float
    turns: float
    grid: float


def bass_pattern(
    rng: np.random.Generator, text: str, kick: Pattern, plain_kick: Pattern, beats_per_bar: int
) -> Pattern:
    """Change a bass pattern for a section, so that it follows the kicks that were added there.

    Args:
        rng: the source of all chance.
        text: a pattern, or the rule `lock`, which takes over the rhythm of the kick drum.
        kick: the kick drum in the section.
        plain_kick: the kick drum of the groove before the section's changes.
        beats_per_bar: of the meter.
    """
    if text == "lock":
        beats = (step.beat for step in kick.steps)
        return pattern_of(kick.beats, beats, "R", beats_per_bar / 2)
    pattern = parse_pattern(text, beats_per_bar)
    known = {round(step.beat, 4) for step in plain_kick.steps}
    for step in kick.steps:
        if round(step.beat, 4) not in known and step.beat < pattern.beats:
            pattern = _strike_at(pattern, step.beat, step.length)
    if len(pattern.steps) > 3 and rng.random() < 0.3:
        gone = int(rng.integers(1, len(pattern.steps)))
        kept = pattern.steps[:gone] + pattern.steps[gone + 1 :]
        pattern = replace(pattern, steps=kept)
    return pattern


def _strike_at(pattern: Pattern, beat: float, length: float) -> Pattern:
    """Add a root at `beat`, which ends the note that sounds there."""
    if any(abs(step.beat - beat) < 1e-3 for step in pattern.steps) or beat < pattern.carry:
        return pattern
    cut = [
        replace(step, length=min(step.length, beat - step.beat)) if step.beat < beat else step
        for step in pattern.steps
    ]
    following = min((s.beat for s in cut if s.beat > beat), default=float(pattern.beats))
    added = Step(beat, min(length, following - beat), "R")
    return replace(pattern, steps=tuple(sorted((*cut, added), key=lambda step: step.beat)))


def bass_line(
    rng: np.random.Generator,
    plan: BassPlan,
    pattern: Pattern | None,
    timeline: Timeline,
    start: float,
    end: float,
    beats_per_bar: int,
) -> list[Event]:
    """Play a monophonic line between the MIDI pitches LOWEST and HIGHEST.

    Args:
        rng: the source of all chance.
        plan: how to play.
        pattern: the rhythm and the degrees; None where the plan says `walk` or `hold`.
        timeline: the song's chords.
        start: first beat.
        end: beat after the last.
        beats_per_bar: of the meter.
    """
    if plan.text == "hold":
        events = [
            Event(span.start, span.end - span.start, _place(span.bass, plan.low), 0.8)
            for span in timeline.between(start, end)
        ]
    elif plan.text == "walk":
        events = _walk(rng, plan, timeline, start, end)
    else:
        assert pattern is not None
        events = _spell(plan, pattern, timeline, start, end, beats_per_bar)
    if rng.random() < plan.turns:
        events = _turn(rng, plan, events, timeline, end)
    return _touch(rng, plan, _monophonic(events, end))


def _turn(
    rng: np.random.Generator,
    plan: BassPlan,
    events: list[Event],
    timeline: Timeline,
    end: float,
) -> list[Event]:
    """End with two steps of the scale that lead to the next chord, if no chord starts there."""
    at = end - 2 * plan.grid
    if timeline.at(at).start > at - 1e-6:
        return events
    target = _place(timeline.at(end).bass, plan.low)
    scale = timeline.scale(at)
    below = [p for p in range(target - 6, target) if p % 12 in scale][-2:]
    above = [p for p in range(target + 6, target, -1) if p % 12 in scale][-2:]
    steps = below if below[0] >= LOWEST and rng.random() < 0.6 else above
    kept = [event for event in events if event.beat < at - 1e-6]
    return kept + [
        Event(at + plan.grid * i, plan.grid, pitch, 0.8) for i, pitch in enumerate(steps)
    ]


def _place(pitch_class: int, low: int) -> int:
    return low + (pitch_class - low) % 12


def _tone(span: Span, degree: int) -> int:
    """Count the semitones from the root to a degree of the chord, or to its fifth without one."""
    steps = QUALITIES[span.quality][0]
    if degree == 6 and 4 in steps:
        return 9  # as in blues lines, any major chord may have a sixth
    fifth = next(step for step in _DEGREES[5] if step in steps)
    return next((step for step in _DEGREES[degree] if step in steps), fifth)


def _spell(
    plan: BassPlan,
    pattern: Pattern,
    timeline: Timeline,
    start: float,
    end: float,
    beats_per_bar: int,
) -> list[Event]:
    events: list[Event] = []
    stated = -1  # the index of the span whose bass note has been played
    bars = round((end - start) / beats_per_bar)
    for number in range(bars):
        bar = start + number * beats_per_bar
        steps = list(pattern.in_bar(number, beats_per_bar))
        if pattern.carry and (number * beats_per_bar) % pattern.beats == 0:
            if events:
                events[-1] = replace(events[-1], length=bar + pattern.carry - events[-1].beat)
            else:
                steps.insert(0, Step(0.0, pattern.carry, "R"))
        for step in _restruck(steps, timeline, bar, beats_per_bar):
            at = bar + step.beat
            here = timeline.index(at)
            events.append(_note(plan, timeline, at, step, fresh=here != stated))
            if step.symbol == "n":
                stated = timeline.index(at + max(step.length, 1.0))
            elif step.symbol not in "xa":
                stated = here
    return events


def _restruck(steps: list[Step], timeline: Timeline, bar: float, beats_per_bar: int) -> list[Step]:
    """Divide held notes where the chord's bass note changes, so that no root outlasts its chord."""
    broken: list[Step] = []
    for step in steps:
        if step.symbol == "n":
            broken.append(step)
            continue
        at = bar + step.beat
        pieces = timeline.between(at, min(at + step.length, bar + beats_per_bar))
        broken.append(replace(step, length=pieces[0].end - at))
        for before, piece in pairwise(pieces):
            if piece.bass == before.bass:
                last = broken[-1]
                broken[-1] = replace(last, length=piece.end - bar - last.beat)
            else:
                broken.append(Step(piece.start - bar, piece.end - piece.start, "R"))
    return broken


def _note(plan: BassPlan, timeline: Timeline, at: float, step: Step, fresh: bool) -> Event:
    span = timeline.at(at)
    root = _place(span.bass, plan.low)
    symbol = "R" if fresh and step.symbol not in "xan" else step.symbol
    if span.bass != span.root and symbol in "35v67":
        symbol = "R"
    if symbol == "x":
        return Event(at, min(step.length, 0.2), root, 0.4)
    if symbol == "8":
        pitch = root + 12
    elif symbol == "v":
        pitch = root + _tone(span, 5) - 12
        pitch += 12 if pitch < LOWEST else 0
    elif symbol in "3567":
        pitch = root + _tone(span, int(symbol))
    elif symbol == "a":
        target = timeline.at(at + 1.01)
        changes = target.bass != span.bass
        pitch = _place(target.bass, plan.low) + plan.approach if changes else root
    elif symbol == "n":
        pitch = _place(timeline.at(at + max(step.length, 1.0)).bass, plan.low)
    else:
        pitch = root
    return Event(at, step.length, pitch, 0.88 if fresh else 0.8)


def _walk(
    rng: np.random.Generator, plan: BassPlan, timeline: Timeline, start: float, end: float
) -> list[Event]:
    """Play quarters: the root, then tones of chord and scale, then a step to the next root."""
    events: list[Event] = []
    for span in timeline.between(start, end):
        beats = max(1, round(span.end - span.start))
        line = [_place(span.bass, plan.low)]
        target = _place(timeline.at(span.end).bass, plan.low)
        tones = [p for p in range(line[0] - 5, line[0] + 13) if p % 12 in span.tones]
        scale = timeline.scale(span.start)
        rising = target > line[0] or (target == line[0] and rng.random() < 0.6)
        for beat in range(1, beats):
            here = line[-1]
            if beat == beats - 1:
                below = target > here or (target == here and rng.random() < 0.5)
                line.append(target + (-1 if below else 1) * int(rng.choice((1, 1, 2))))
                continue
            ahead = [p for p in tones if (p > here if rising else p < here)]
            if not ahead or rng.random() < 0.15:
                rising = not rising
                ahead = [p for p in tones if p != here]
            step = min(ahead, key=lambda p: abs(p - here))
            passing = [p for p in range(min(here, step) + 1, max(here, step)) if p % 12 in scale]
            line.append(passing[0] if passing and beat % 2 and rng.random() < 0.3 else step)
        length = (span.end - span.start) / beats
        events += [Event(span.start + i * length, length, p, 0.8) for i, p in enumerate(line)]
    return events


def _monophonic(events: list[Event], end: float) -> list[Event]:
    """End every note at the next one's onset and at the section's end."""
    limits = [*(event.beat for event in events[1:]), end]
    return [
        replace(event, length=min(event.length, limit - event.beat))
        for event, limit in zip(events, limits, strict=True)
    ]


def _touch(rng: np.random.Generator, plan: BassPlan, events: list[Event]) -> list[Event]:
    """Shorten the notes, move pitches by octaves into range, and let some long notes slide in."""
    touched = []
    for event in events:
        pitch = event.pitch + 12 * (event.pitch < LOWEST) - 12 * (event.pitch > HIGHEST)
        slides = event.length >= 0.9 and rng.random() < plan.slides
        slide = float(rng.choice((-2.0, -1.0, 1.0), p=(0.5, 0.35, 0.15))) if slides else 0.0
        touched.append(replace(event, pitch=pitch, length=event.length * plan.gate, slide=slide))
    return touched
