"""Performance: from beats to seconds, with swing, human timing and dynamics, and slides."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np

from shared.band.composing.timeline import Event
from shared.band.scores.score import PitchBend
from shared.music.notes import Note

# A slide reaches its pitch within this many seconds, so that the note sounds as it is written.
SLIDE_SECONDS = 0.08
SLIDE_STEPS = 5
# Seconds of silence between two notes of one string or key.
GAP = 0.002


@dataclass(frozen=True)
class Clock:
    """The time of each beat.

    Attributes:
        tempo: beats per minute.
        swing: the share of the time that the first half of every `unit` beats takes: 0.5 is
            straight, 2/3 is a triplet shuffle.
        unit: in beats.
    """

    tempo: float
    swing: float = 0.5
    unit: float = 1.0

    def seconds(self, beat: float) -> float:
        """Return the time of a beat in seconds."""
        units = beat / self.unit
        whole = floor(units + 1e-9)
        part = units - whole
        first = part < 0.5
        # Time runs evenly within each half.
        part = 2 * part * self.swing if first else 1 - 2 * (1 - part) * (1 - self.swing)
        return (whole + part) * self.unit * 60.0 / self.tempo


def perform(
    rng: np.random.Generator,
    clock: Clock,
    events: list[Event],
    humanise: float,
    drag: float = 0.0,
    monophonic: bool = False,
) -> tuple[tuple[Note, ...], tuple[PitchBend, ...]]:
    """Turn events into notes and pitch bends with human timing.

    Args:
        rng: the source of all chance.
        clock: the time of each beat.
        events: the notes in beats, in any order.
        humanise: about how many ms an onset is early or late; 3 times as many are the limit. The
            notes of a chord are early or late together, and a little apart.
        drag: how many ms all notes are late, or early if negative.
        monophonic: end each note at the next onset, not only at the next onset of its own pitch.

    Returns:
        The notes and the bends, both in order of time.
    """
    ordered = sorted(events, key=lambda event: (event.beat, event.pitch))
    _, together = np.unique([event.beat for event in ordered], return_inverse=True)
    stray = np.clip(rng.standard_normal(len(ordered)), -2.5, 2.5)[together]
    stray += 0.2 * np.clip(rng.standard_normal(len(ordered)), -2.5, 2.5)
    stray = stray * humanise + drag
    touch = rng.normal(0.0, 0.04, len(ordered))
    velocities = np.array([event.velocity for event in ordered]) + touch
    midi = np.clip(np.rint(127 * velocities), 1, 127).astype(int).tolist()
    starts = np.array([clock.seconds(event.beat) for event in ordered])
    onsets = np.maximum(starts + stray / 1000.0, 0.0).tolist()
    notes: list[Note] = []
    bends: list[PitchBend] = []
    following: dict[int, float] = {}
    for event, onset, velocity in zip(
        reversed(ordered), reversed(onsets), reversed(midi), strict=True
    ):
        end = max(clock.seconds(event.beat + event.length), onset + 0.03)
        voice = 0 if monophonic else event.pitch
        end = min(end, max(following.get(voice, end) - GAP, onset + GAP))
        following[voice] = onset
        notes.append(Note(onset, end - onset, event.pitch, velocity))
        if event.slide and end - onset > 4 * SLIDE_SECONDS:
            bends += _slide(onset, event.slide)
    return (
        tuple(sorted(notes, key=lambda note: (note.onset, note.pitch))),
        tuple(sorted(bends, key=lambda bend: bend.time)),
    )


def _slide(onset: float, semitones: float) -> list[PitchBend]:
    """Bend from `semitones` off the pitch at `onset` into the pitch."""
    return [
        PitchBend(onset + SLIDE_SECONDS * i / SLIDE_STEPS, semitones * (1 - i / SLIDE_STEPS))
        for i in range(SLIDE_STEPS + 1)
    ]
