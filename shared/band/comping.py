"""Comping: voicings that move as little as they can, in rhythms that the section keeps.

Comping patterns use `x` for the chord, `X` for an accent, `o` for a muted stroke, `1`-`9` for
single voices from the bottom up (past the top they climb an octave), and `r` for the bass note
in the left hand with `f` for the fifth above it. `hold` is one chord per change, `lock` the
kick's rhythm.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.band.pattern import Pattern, Step, parse_pattern, pattern_of
from shared.band.timeline import Event, Span, Timeline
from shared.music.chord import QUALITIES


@dataclass(frozen=True)
class CompPlan:
    """What a comping instrument keeps to in a section.

    `voicing`: close, power, open, shell or root; `center`: MIDI pitch it stays around;
    `voices`: notes at most; `left_hand`: adds the bass note an octave or two down on each change;
    `strum`: beats between the notes of a chord.
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
    """Play `plan` from beat `start` to `end`."""
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
    """Spread the chord over MIDI pitches, lowest first, near `previous` or the plan's center."""
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
        # The fifth says least, then the ninth; root and third stay.
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
