"""Lead lines: a motif of two bars, repeated and answered.

Notes on strong beats and long notes are tones of the chord; the others are tones of the scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.band.composing.timeline import Event, Timeline


@dataclass(frozen=True)
class MotifNote:
    """A note of a motif: where it begins and how long it is, in beats, and its scale step."""

    beat: float
    length: float
    contour: int


@dataclass(frozen=True)
class Motif:
    """Notes over `beats` beats; their `contour` counts scale steps from the first note."""

    beats: int
    notes: tuple[MotifNote, ...]


def write_motif(rng: np.random.Generator, beats_per_bar: int, grid: float, density: float) -> Motif:
    """Write a motif of two bars.

    Args:
        rng: the source of all chance.
        beats_per_bar: of the meter.
        grid: beats between the places where a note may begin.
        density: from 0 to 1, about the chance that a note begins at such a place.
    """
    beats = 2 * beats_per_bar
    sounding = beats - float(rng.choice((0.5, 1.0, 1.5, 2.0))) * min(1.0, beats_per_bar / 4)
    start = float(rng.choice((0.0, 0.0, grid, 1.0)))
    slots = np.arange(start, sounding, grid)
    strong = np.abs(slots - np.round(slots)) < 1e-3
    chosen = slots[rng.random(len(slots)) < np.where(strong, density * 1.25, density * 0.8)]
    if len(chosen) < 3:
        chosen = slots[:: max(1, len(slots) // 4)]
    ends = [*chosen[1:], sounding + 0.4]
    contour, notes = 0, []
    for onset, end in zip(chosen, ends, strict=True):
        notes.append(MotifNote(float(onset), float(min(end - onset, 3.0)), contour))
        step = int(
            rng.choice((-3, -2, -1, 0, 1, 2, 3), p=(0.06, 0.12, 0.26, 0.14, 0.24, 0.12, 0.06))
        )
        contour = int(np.clip(contour + step - round(contour / 8), -6, 6))
    return Motif(beats, tuple(notes))


def vary_motif(rng: np.random.Generator, motif: Motif) -> Motif:
    """Give a motif another ending, in the same rhythm."""
    shift = int(rng.choice((-2, -1, 1, 2)))
    turn = len(motif.notes) * 2 // 3
    notes = tuple(
        MotifNote(note.beat, note.length, note.contour + (shift if i >= turn else 0))
        for i, note in enumerate(motif.notes)
    )
    return Motif(motif.beats, notes)


def lead_line(
    rng: np.random.Generator,
    motifs: tuple[Motif, ...],
    timeline: Timeline,
    start: float,
    end: float,
    center: int,
    gate: float,
    scoops: float,
) -> list[Event]:
    """Play the motifs in turn.

    Args:
        rng: the source of all chance.
        motifs: what to play; it is repeated.
        timeline: the song's chords.
        start: first beat.
        end: beat after the last.
        center: MIDI pitch that the line stays around.
        gate: the share of its length that a note sounds.
        scoops: the chance that a long note begins a semitone low.
    """
    events: list[Event] = []
    at, turn = start, 0
    while at < end - 1e-6:
        motif = motifs[turn % len(motifs)]
        for note in motif.notes:
            beat = at + note.beat
            length = min(note.length, end - beat)
            if length <= 0.1:
                continue
            scale = timeline.scale(beat)
            tones = timeline.at(beat).tones
            goal = center + note.contour * 12 / 7
            weighty = abs(note.beat - round(note.beat)) < 1e-3 or length >= 1.0
            pitch = _closest(goal, tones if weighty else scale)
            slide = -1.0 if length > 0.7 and rng.random() < scoops else 0.0
            events.append(Event(beat, length * gate, pitch, 0.75 + 0.15 * weighty, slide))
        at += motif.beats
        turn += 1
    return events


def _closest(goal: float, pitch_classes: tuple[int, ...]) -> int:
    base = round(goal)
    return min(
        (pitch for pitch in range(base - 7, base + 8) if pitch % 12 in pitch_classes),
        key=lambda pitch: abs(pitch - goal),
    )
