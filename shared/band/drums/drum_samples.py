"""Drums as samples: a sample for each range of velocities, read once and trimmed to its stroke."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from shared.band.recording.render import SAMPLE_RATE
from shared.errors import UserError
from shared.sound.samples import resample, to_stereo

_LONGEST = 6.0  # seconds of one stroke
_TAIL = 3e-4  # of its peak; a stroke is over when it stays below
_ONSET = 0.03  # of its peak; a stroke has begun when it is above
_LEAD = 32  # samples that are kept before the onset
_FADE = 256  # samples
_CACHED = 600  # strokes; of most kits they take 300 MB
_LAYER_CURVE = 0.7  # below 1 the usual velocities, 80 to 110, reach the louder layers


@dataclass(frozen=True)
class Sample:
    """A sample on disk.

    Attributes:
        path: an audio file, or a soundfont.
        span: for a soundfont, the first byte of the sample and the number of its 16-bit words.
        rate: for a soundfont, the sample rate in Hz.
    """

    path: Path
    span: tuple[int, int] | None = None
    rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class Layer:
    """The sample for velocities from `low` to `high`, both from 0 to 1, and its gain."""

    sample: Sample
    low: float
    high: float
    gain: float = 1.0


@dataclass(frozen=True)
class Drum:
    """One drum of a kit.

    Attributes:
        name: as the kit has it.
        gains: of the left and the right channel.
        layers: one or more, from soft to loud.
        curve: the gain of a stroke is its velocity to this power. Layers that were recorded soft
            and loud need less of it.
    """

    name: str
    gains: tuple[float, float]
    layers: tuple[Layer, ...]
    curve: float

    def stroke(self, velocity: float) -> np.ndarray:
        """Return a stroke of a velocity from 0 to 1, float32 `[2, N]` at 44.1 kHz.

        Raises:
            UserError: its sample cannot be read.
        """
        place = velocity**_LAYER_CURVE
        layer = min(
            self.layers,
            key=lambda layer: (max(layer.low - place, place - layer.high, 0.0), -layer.low),
        )
        gains = layer.gain * velocity**self.curve * np.array(self.gains)
        return load_stroke(layer.sample) * gains.astype(np.float32)[:, None]


@lru_cache(maxsize=_CACHED)
def load_stroke(sample: Sample) -> np.ndarray:
    """Read a sample from its onset to where it has died away.

    Returns:
        float32 `[2, N]` at 44.1 kHz. It is shared between callers and cannot be written to.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        samples, rate = _read(sample)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"cannot read the drum sample {sample.path} ({error})") from error
    stroke = to_stereo(samples[:, : round(_LONGEST * rate)])
    stroke = resample(np.ascontiguousarray(stroke), rate, SAMPLE_RATE)
    level = np.abs(stroke).max(axis=0, initial=0.0)
    peak = float(level.max(initial=0.0))
    if peak == 0.0:
        return np.zeros((2, 1), np.float32)
    first = max(int(np.argmax(level > _ONSET * peak)) - _LEAD, 0)
    last = len(level) - int(np.argmax(level[::-1] > _TAIL * peak))
    stroke = stroke[:, first:last].copy()
    fade = min(_FADE, stroke.shape[1])
    stroke[:, stroke.shape[1] - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    stroke.flags.writeable = False
    return stroke


def _read(sample: Sample) -> tuple[np.ndarray, int]:
    """Read a sample whole: float32 `[channels, N]` and its rate."""
    if sample.span is None:
        samples, rate = soundfile.read(sample.path, dtype="float32", always_2d=True)
        return samples.T, rate
    start, count = sample.span
    words = np.fromfile(sample.path, "<i2", count, offset=start)
    return words.astype(np.float32)[None] / 32768, sample.rate
