"""Kick drums from a drum machine, which share the bass's range: 808s and four-on-the-floor kicks.

A kick is a sine whose pitch falls to a fundamental, with a click in front and some saturation. An
808 rings for up to a second or more, like a bass note, and only one sounds at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.signal import butter, sosfilt

from shared.band.recording.render import SAMPLE_RATE
from shared.band.scores.score import Part
from shared.music.notes import Note

KICK_KEYS = (35, 36)
LOWEST, HIGHEST = 35.0, 60.0  # Hz of a fundamental
_PEAK = 0.5
_FADE = round(0.004 * SAMPLE_RATE)  # samples in which a kick stops the one before
_GAP = 1.2  # beats; a beat that is farther from every stroke lies in a rest of the drums


@dataclass(frozen=True)
class ElectronicKick:
    """The sound of a kick.

    Attributes:
        kind: "808" or "house".
        hertz: the fundamental that the pitch falls to.
        sweep: how far above it the pitch starts, as a factor.
        sweep_seconds: time constant of the fall.
        decay_seconds: time constant of the loudness.
        drive: gain before saturation; 1 is nearly clean.
        click: level of the click, 0 to 1.
    """

    kind: str
    hertz: float
    sweep: float
    sweep_seconds: float
    decay_seconds: float
    drive: float
    click: float

    @property
    def report(self) -> dict[str, Any]:
        """Describe the kick, in JSON's types."""
        return {"kick": self.kind, "hertz": round(self.hertz, 2), "decay": self.decay_seconds}


def draw_kick(rng: np.random.Generator) -> ElectronicKick:
    """Draw an 808 or a house kick; `rng` is the source of all chance."""
    long = rng.random() < 0.5
    hertz = float(LOWEST * (HIGHEST / LOWEST) ** rng.random())
    return ElectronicKick(
        kind="808" if long else "house",
        hertz=hertz,
        sweep=float(rng.uniform(2.0, 4.0) if long else rng.uniform(3.0, 7.0)),
        sweep_seconds=float(rng.uniform(0.015, 0.05) if long else rng.uniform(0.010, 0.030)),
        decay_seconds=float(rng.uniform(0.25, 0.70) if long else rng.uniform(0.08, 0.16)),
        drive=float(rng.uniform(1.0, 4.0) if long else rng.uniform(1.0, 2.5)),
        click=float(rng.uniform(0.0, 0.3) if long else rng.uniform(0.2, 0.8)),
    )


def kick_sound(kick: ElectronicKick) -> np.ndarray:
    """Return one stroke of a kick, float32 `[N]` with a peak of 0.5."""
    seconds = np.arange(round((6.0 * kick.decay_seconds + 0.05) * SAMPLE_RATE)) / SAMPLE_RATE
    fall = np.exp(-seconds / kick.sweep_seconds)
    hertz = kick.hertz * (1.0 + (kick.sweep - 1.0) * fall)
    body = np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)
    body *= np.exp(-seconds / kick.decay_seconds) * np.minimum(seconds / 0.001, 1.0)
    body = np.tanh(kick.drive * body) / np.tanh(kick.drive)
    # The same noise in every kick: a machine does not vary.
    noise = np.random.default_rng(0).standard_normal(len(seconds)) * np.exp(-seconds / 0.003)
    band = butter(2, (1000.0, 8000.0), "bandpass", fs=SAMPLE_RATE, output="sos")
    sound = body + 0.5 * kick.click * sosfilt(band, noise)
    sound *= np.minimum((seconds[-1] - seconds) / 0.02, 1.0)
    return (sound * (_PEAK / np.abs(sound).max())).astype(np.float32)


def play_kicks(kick: ElectronicKick, notes: Sequence[Note], num_samples: int) -> np.ndarray:
    """Play strokes at the onsets of notes, each of which stops the one before.

    Returns:
        float32 `[2, num_samples]`, the same on both sides.
    """
    sound = kick_sound(kick)
    audio = np.zeros(num_samples, np.float32)
    fade = np.linspace(1.0, 0.0, _FADE, dtype=np.float32)
    for note in sorted(notes, key=lambda note: note.onset):
        start = max(round(note.onset * SAMPLE_RATE), 0)
        if start >= num_samples:
            break
        ringing = audio[start : start + _FADE]
        ringing *= fade[: len(ringing)]
        audio[start + _FADE :] = 0.0
        length = min(len(sound), num_samples - start)
        audio[start : start + length] += sound[:length] * np.float32((note.velocity / 127) ** 1.2)
    return np.repeat(audio[None], 2, axis=0)


def split_kicks(part: Part) -> tuple[tuple[Note, ...], Part]:
    """Take the kicks out of a drum part: the kicks, and the part without them."""
    kicks = tuple(note for note in part.notes if note.pitch in KICK_KEYS)
    rest = tuple(note for note in part.notes if note.pitch not in KICK_KEYS)
    return kicks, replace(part, notes=rest)


def four_on_the_floor(part: Part, beats: Sequence[float]) -> Part:
    """Replace the kicks of a drum part by one on each beat, where the drums play.

    Args:
        part: strokes on General MIDI keys.
        beats: times of the beats in seconds, rising.
    """
    kicks, rest = split_kicks(part)
    onsets = np.sort([note.onset for note in part.notes])
    if not len(onsets) or len(beats) < 2:
        return part
    velocity = round(float(np.mean([note.velocity for note in kicks or part.notes])))
    length = float(np.median(np.diff(beats)))
    nearest = np.array([np.abs(onsets - beat).min() for beat in beats])
    added = tuple(
        Note(float(beat), 0.1, 36, velocity)
        for beat, distance in zip(beats, nearest, strict=True)
        if distance < _GAP * length
    )
    notes = sorted((*rest.notes, *added), key=lambda note: (note.onset, note.pitch))
    return replace(part, notes=tuple(notes))
