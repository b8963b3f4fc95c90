"""Performance: from beats to seconds, with swing, a human's timing and touch, and slides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.band.score import PitchBend, ScoreNote
from shared.band.timeline import Event

# A slide reaches its note within this many seconds, so that the note sounds as written.
SLIDE_SECONDS = 0.08
SLIDE_STEPS = 5


@dataclass(frozen=True)
class Clock:
    """Beats at `tempo` per minute. In each `unit` beats, `swing` of the time goes to the first
    half (0.5 is straight, 2/3 a triplet shuffle)."""

    tempo: float
    swing: float = 0.5
    unit: float = 1.0

    def seconds(self, beat: float) -> float:
        whole, part = divmod(beat / self.unit + 1e-9, 1.0)
        if part < 0.5:
            part = part * 2 * self.swing
        else:
            part = self.swing + (part - 0.5) * 2 * (1 - self.swing)
        return (whole + part) * self.unit * 60.0 / self.tempo


def perform(
    rng: np.random.Generator,
    clock: Clock,
    events: list[Event],
    humanise: float,
    monophonic: bool,
) -> tuple[tuple[ScoreNote, ...], tuple[PitchBend, ...]]:
    """Play events: timing strays by `humanise` ms (standard deviation, 2.5 of them at most)."""
    ordered = sorted(events, key=lambda event: (event.beat, event.pitch))
    stray = np.clip(rng.standard_normal(len(ordered)), -2.5, 2.5) * humanise / 1000.0
    touch = rng.normal(0.0, 0.04, len(ordered))
    onsets = [
        max(0.0, clock.seconds(event.beat) + float(late))
        for event, late in zip(ordered, stray, strict=True)
    ]
    notes: list[ScoreNote] = []
    bends: list[PitchBend] = []
    for i, event in enumerate(ordered):
        onset = onsets[i]
        end = max(clock.seconds(event.beat + event.length), onset + 0.03)
        if monophonic and i + 1 < len(ordered):
            end = min(end, max(onsets[i + 1] - 0.002, onset + 0.01))
        velocity = int(np.clip(round(127 * (event.velocity + touch[i])), 1, 127))
        notes.append(ScoreNote(onset, end - onset, event.pitch, velocity))
        if event.slide and end - onset > 4 * SLIDE_SECONDS:
            bends += [
                PitchBend(
                    onset + SLIDE_SECONDS * step / SLIDE_STEPS,
                    event.slide * (1 - step / SLIDE_STEPS),
                )
                for step in range(SLIDE_STEPS + 1)
            ]
    return tuple(sorted(notes, key=lambda n: (n.onset, n.pitch))), tuple(bends)
