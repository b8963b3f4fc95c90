"""Comping: chords in the rhythm of the section, in voicings that move as little as they can.

Comping patterns use `x` for the chord, `X` for an accent, `o` for a muted stroke, `1`-`9` for
single voices from the lowest up (beyond the highest they go on an octave above), `r` for the bass
note in the left hand, and `f` for the fifth above it. Two names stand for a rule: `hold` plays one
chord per change, and `lock` plays the rhythm of the kick drum.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.band.composing.pattern import Pattern, Step, parse_pattern, pattern_of
from shared.band.composing.timeline import Event, Span, Timeline
from shared.music.chord import QUALITIES


@dataclass(frozen=True)
class CompPlan:
    """How a comping instrument plays in a section.

    Attributes:
        text: a pattern, or the name of a rule.
        voicing: close, power, open, shell or root.
        center: MIDI pitch that it stays around.
        voices: how many notes a chord has at most.
        gate: the share of its length that a note sounds.
        left_hand: whether the bass note is added one or two octaves lower at each change of chord.
        strum: beats between the notes of a chord.
        kick: the rhythm of the kick drum.
    """

    text: str
    voicing: str
    center: int
    voices: int
    gate: float
    left_hand: bool
    strum: float
    kick: Pattern


def comp_line(
    plan: CompPlan, timeline: Timeline, start: float, end: float, beats_per_bar: int
) -> list[Event]:
    """Play from beat `start` to beat `end` as the plan says."""
    events: list[Event] = []
    previous: tuple[int, ...] = ()
    voicings: dict[int, tuple[int, ...]] = {}
    for number in range(round((end - start) / beats_per_bar)):
        bar = start + number * beats_per_bar
        for step in _steps(plan, timeline, number, bar, beats_per_bar):
            at = bar + step.beat
            for span in timeline.between(at, min(at + step.length, bar + beats_per_bar)):
                index = timeline.index(span.start)
                if index not in voicings:
                    previous = voicings[index] = voice(span, plan, previous)
                fresh = abs(span.start - timeline.spans[index].start) < 1e-6
                events += _strike(plan, span, step.symbol, voicings[index], fresh)
    return events


def _steps(
    plan: CompPlan, timeline: Timeline, number: int, start: float, beats: int
) -> tuple[Step, ...]:
    if plan.text == "hold":
        return tuple(
            Step(span.start - start, span.end - span.start, "x")
            for span in timeline.between(start, start + beats)
        )
    if plan.text == "lock":
        kick = plan.kick
        pattern = pattern_of(kick.beats, (s.beat for s in kick.steps), "x", beats / 2)
    else:
        pattern = parse_pattern(plan.text, beats)
    return pattern.in_bar(number, beats)


def voice(span: Span, plan: CompPlan, previous: tuple[int, ...]) -> tuple[int, ...]:
    """Choose MIDI pitches for a chord, lowest first, near `previous` and the plan's center."""
    root = _near(span.root, plan.center)
    steps = QUALITIES[span.quality][0]
    fifth = next((step for step in steps if step in (6, 7, 8)), 7)
    if plan.voicing == "root":
        return (root,)
    if plan.voicing == "power":
        return (root, root + fifth, root + 12)[: plan.voices]
    if plan.voicing == "open":
        inner = [step for step in steps if step not in (0, fifth)]
        return tuple([root, root + fifth, root + 12, *(root + 12 + s for s in inner)])[
            : plan.voices + 1
        ]
    tones = list(span.tones)
    while len(tones) > plan.voices:
        # The fifth matters least, then the ninth. The root and the third stay.
        spare = [t for t in ((span.root + fifth) % 12, (span.root + 2) % 12) if t in tones]
        tones.remove(spare[0] if spare else tones[-1])
    goal = sum(previous) / len(previous) if previous else plan.center
    best: tuple[float, tuple[int, ...]] | None = None
    for lowest in tones:
        for octave in (-12, 0):
            base = _near(lowest, plan.center) + octave
            stack = tuple(sorted(base + (tone - lowest) % 12 for tone in tones))
            mean = sum(stack) / len(stack)
            cost = abs(mean - goal) + 0.7 * abs(mean - plan.center)
            if best is None or cost < best[0]:
                best = (cost, stack)
    assert best is not None
    stack = best[1]
    if plan.voicing == "shell" and len(stack) > 3:
        return (stack[1] - 12, stack[0], *stack[2:])
    return stack


def _near(pitch_class: int, center: int) -> int:
    return center - 6 + (pitch_class - (center - 6)) % 12


def _strike(
    plan: CompPlan, span: Span, symbol: str, stack: tuple[int, ...], fresh: bool
) -> list[Event]:
    length = (span.end - span.start) * plan.gate
    low = _near(span.bass, 45)
    if symbol in "rf":
        interval = 0 if symbol == "r" else (7 if span.bass == span.root else 12)
        return [Event(span.start, length, low + interval, 0.78)]
    if symbol.isdigit():
        voice_number = int(symbol) - 1
        octave, place = divmod(voice_number, len(stack))
        events = [Event(span.start, length, stack[place] + 12 * octave, 0.74)]
    elif symbol == "o":
        events = [Event(span.start, 0.12, pitch, 0.35) for pitch in stack[-3:]]
    else:
        loud = 0.9 if symbol == "X" else 0.74
        events = [
            Event(span.start + i * plan.strum, max(0.1, length - i * plan.strum), pitch, loud)
            for i, pitch in enumerate(stack)
        ]
    if plan.left_hand and fresh and low < min(stack):
        events.append(Event(span.start, length, low, 0.76))
    return events
