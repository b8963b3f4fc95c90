"""The mix: what a producer does to each stem, drawn at random so that no two songs sound alike.

Each part gets a gain and a place in the panorama. Each stem gets an equaliser, a compressor,
saturation and a room, by chance, from pedalboard. The bass stays in the middle and has no reverb,
which would blur its pitch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pedalboard

from shared.band.recording.render import SAMPLE_RATE, Orchestra
from shared.band.scores.score import Score
from shared.sources import SOURCES

# Loudness of a stem against full scale before mastering (dB RMS, mean and spread).
_LEVELS = {
    "vocals": (-22.0, 2.0),
    "bass": (-21.0, 2.0),
    "drums": (-20.0, 2.0),
    "other": (-22.0, 2.5),
}
_PEAK = 0.97  # of full scale; the rest is room for the rounding of four stems


@dataclass(frozen=True)
class Stems:
    """Stems, int16 `[4, N, 2]` in the order of SOURCES. Their integer sum is the mixture."""

    samples: np.ndarray

    @property
    def mixture(self) -> np.ndarray:
        """The exact sum of the stems, int16 `[N, 2]`."""
        return self.samples.sum(axis=0, dtype=np.int32).astype(np.int16)


def produce(
    score: Score,
    orchestra: Orchestra,
    rng: np.random.Generator,
    recorded: Mapping[int, np.ndarray] | None = None,
) -> Stems:
    """Play and mix a score.

    Args:
        score: what to play.
        orchestra: the instruments.
        rng: the source of all chance.
        recorded: the sound of parts that the orchestra does not play, float32 `[2, N]` at
            SAMPLE_RATE for the index of each.

    Raises:
        UserError: a part stays silent (see Orchestra.play).
    """
    return quantize(mix(score, orchestra, rng, recorded or {}), rng)


def mix(
    score: Score,
    orchestra: Orchestra,
    rng: np.random.Generator,
    recorded: Mapping[int, np.ndarray],
) -> np.ndarray:
    """Play and mix a score, as `produce` does, to float32 stems `[4, 2, N]`."""
    num_samples = round(score.duration * SAMPLE_RATE)
    stems = np.zeros((len(SOURCES), 2, num_samples), np.float32)
    for index, part in enumerate(score.parts):
        soundfont = int(rng.integers(len(orchestra)))
        if index in recorded:
            audio = recorded[index].copy()
        else:
            audio = orchestra.play(part, soundfont, num_samples)
        gain = 10 ** (rng.normal(0.0, 1.5) / 20)
        pan = 0.0 if part.source in ("bass", "drums") else rng.uniform(-0.7, 0.7)
        audio *= (gain * _balance(pan)).astype(np.float32)
        stems[SOURCES.index(part.source)] += audio
    for index, source in enumerate(SOURCES):
        effects = _effects(source, rng)
        if stems[index].any():
            stems[index] = effects(stems[index], SAMPLE_RATE)
        stems[index] *= _level(stems[index], rng.normal(*_LEVELS[source]))
    return stems


def _balance(pan: float) -> np.ndarray:
    """Return the gains `[2, 1]` of left and right at equal power; -1 is left, 1 is right."""
    angle = (pan + 1) * np.pi / 4
    return np.sqrt(2) * np.array([[np.cos(angle)], [np.sin(angle)]])


def _effects(source: str, rng: np.random.Generator) -> pedalboard.Pedalboard:
    """Draw a chain of effects for one stem.

    Each source uses up the same random numbers, so that a change to one does not change the others.
    """
    low, mid, high = rng.normal(0.0, [2.0, 3.5, 3.5])
    centre = rng.uniform(400.0, 3000.0)
    threshold, ratio = rng.uniform(-28.0, -14.0), rng.uniform(1.5, 5.0)
    drive, room, wet = rng.uniform(2.0, 14.0), rng.uniform(0.1, 0.7), rng.uniform(0.03, 0.25)
    squeezed, driven, spacious = rng.random(3) < (0.7, 0.3, 0.7)
    if source == "bass":
        # The fundamental of a bass is never weakened, because listeners and trackers need it.
        low, mid, drive = abs(low), mid / 2, drive / 2
    bands = (
        pedalboard.LowShelfFilter(120.0, low),
        pedalboard.PeakFilter(centre, mid, q=0.8),
        pedalboard.HighShelfFilter(6000.0, high),
    )
    touched = rng.random(len(bands)) < 0.5
    chain: list[pedalboard.Plugin] = [
        band for band, used in zip(bands, touched, strict=True) if used
    ]
    if squeezed:
        chain.append(pedalboard.Compressor(threshold, ratio, attack_ms=8.0, release_ms=120.0))
    if driven:
        chain.append(pedalboard.Distortion(drive))
    if spacious and source != "bass":
        chain.append(
            pedalboard.Reverb(room_size=room, damping=0.5, wet_level=wet, dry_level=1 - wet)
        )
    return pedalboard.Pedalboard(chain)


def _level(stem: np.ndarray, decibels: float) -> float:
    """Return the gain that brings a stem `[2, N]` to `decibels` RMS in the seconds that sound.

    It is 0 for a silent stem.
    """
    seconds = stem[:, : stem.shape[1] // SAMPLE_RATE * SAMPLE_RATE].reshape(2, -1, SAMPLE_RATE)
    power = np.einsum("csn,csn->s", seconds, seconds) / (2 * SAMPLE_RATE)
    loud = power[power > 1e-3 * power.max(initial=0.0)]
    return float(10 ** (decibels / 20) / np.sqrt(loud.mean())) if len(loud) else 0.0


def quantize(stems: np.ndarray, rng: np.random.Generator) -> Stems:
    """Round float stems `[4, 2, N]` to int16 at one gain, so that neither they nor their sum clip.

    The gain leaves 0 to 4 dB of headroom. `stems` is overwritten, to save memory.
    """
    headroom = rng.uniform(0.0, 4.0)
    mixture = stems.sum(axis=0)
    peak = max(stems.max(), -stems.min(), mixture.max(), -mixture.min(), 1e-9)
    stems *= 32767.0 * _PEAK * 10 ** (-headroom / 20) / peak
    return Stems(np.rint(stems, out=stems).astype(np.int16).transpose(0, 2, 1))
