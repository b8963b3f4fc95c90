"""What happens to a whole record: ducking, bus compression, limiting, noise, mono, tuning, coding.

Everything is done to the stems, so that they still add up to the record: a gain that the mixture
asks for goes to all of them, and noise belongs to "other". Only lossy coding is no linear
operation; each stem is coded alone, and the record is then the sum of the coded stems.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shared.band.drums.electronic_kicks import KICK_KEYS
from shared.band.recording.dynamics import compressor_gain, ducking_gain, limiter_gain
from shared.band.recording.lossy_coding import available_codecs, code
from shared.band.recording.record_noise import hum, vinyl_noise
from shared.band.recording.render import SAMPLE_RATE
from shared.band.scores.score import Part, Score
from shared.sources import SOURCES

_BIT_RATES = (96, 128, 160, 192, 256, 320)
_OTHER = SOURCES.index("other")


@dataclass(frozen=True)
class MasteringChances:
    """How likely each step of mastering is, from 0 to 1."""

    ducking: float = 0.25
    compression: float = 0.6
    limiting: float = 0.6
    vinyl: float = 0.08
    hum: float = 0.08
    mono: float = 0.05
    detuning: float = 0.3
    coding: float = 0.25


NO_MASTERING = MasteringChances(*[0.0] * 8)


@dataclass(frozen=True)
class Master:
    """A mastered record.

    Attributes:
        stems: float32 `[4, 2, N]` in the order of SOURCES.
        cents: how much higher it sounds than its score.
        time_scale: by what all times of its score have to be multiplied (see `retimed`).
        report: what was done, in JSON's types. Each step that was taken has an entry.
    """

    stems: np.ndarray
    cents: float
    time_scale: float
    report: dict[str, dict[str, Any]]


def master(
    stems: np.ndarray,
    kicks: Sequence[float],
    rng: np.random.Generator,
    chances: MasteringChances | None = None,
) -> Master:
    """Master a record.

    Args:
        stems: float32 `[4, 2, N]` at 44.1 kHz in the order of SOURCES, mixed. They are overwritten.
        kicks: onsets of the kick in seconds (see `kick_onsets`).
        rng: the source of all chance. Each step uses up its numbers whether or not it is taken.
        chances: how likely the steps are.
    """
    chances = chances or MasteringChances()
    report: dict[str, dict[str, Any]] = {}
    steps = dict(zip(chances.__dataclass_fields__, rng.random(8).tolist(), strict=True))
    taken = {name for name, drawn in steps.items() if drawn < getattr(chances, name)}
    seeds = dict(zip(steps, rng.spawn(len(steps)), strict=True))
    if "ducking" in taken and len(kicks):
        report["ducking"] = _duck(stems, kicks, seeds["ducking"])
    if "compression" in taken:
        report["compression"] = _compress(stems, seeds["compression"])
    for name, add in (("vinyl", _add_vinyl), ("hum", _add_hum)):
        if name in taken:
            report[name] = add(stems, seeds[name])
    if "limiting" in taken:
        report["limiting"] = _limit(stems, seeds["limiting"])
    if "mono" in taken:
        stems[:] = stems.mean(axis=1, keepdims=True)
        report["mono"] = {}
    cents, time_scale = 0.0, 1.0
    if "detuning" in taken:
        cents = float(seeds["detuning"].uniform(-40.0, 40.0))
        time_scale = 2.0 ** (-cents / 1200.0)
        stems = _respeed(stems, time_scale)
        report["detuning"] = {"cents": round(cents, 2), "time_scale": round(time_scale, 7)}
    if "coding" in taken and available_codecs():
        report["coding"] = _code(stems, seeds["coding"])
    return Master(stems, cents, time_scale, report)


def kick_onsets(parts: Iterable[Part]) -> tuple[float, ...]:
    """Return when the kick of drum parts is struck, in seconds, rising."""
    notes = (note for part in parts if part.is_drum for note in part.notes)
    return tuple(sorted(note.onset for note in notes if note.pitch in KICK_KEYS))


def retimed(score: Score, time_scale: float) -> Score:
    """Return the score of a record that plays slower by a factor. Pitches keep their names."""
    return replace(
        score,
        tempo=score.tempo / time_scale,
        duration=score.duration * time_scale,
        beats=tuple(time * time_scale for time in score.beats),
        downbeats=tuple(time * time_scale for time in score.downbeats),
        chords=tuple(
            replace(chord, start=chord.start * time_scale, end=chord.end * time_scale)
            for chord in score.chords
        ),
        parts=tuple(part.stretched(time_scale) for part in score.parts),
    )


def _duck(stems: np.ndarray, kicks: Sequence[float], rng: np.random.Generator) -> dict[str, Any]:
    """Make bass and other softer at each stroke of the kick, and now and then the vocals."""
    depth, release = float(rng.uniform(2.0, 12.0)), float(rng.uniform(0.08, 0.35))
    other, vocals = float(rng.uniform(0.3, 1.0)), rng.random() < 0.15
    depths = {"bass": depth, "other": other * depth}
    if vocals:
        depths["vocals"] = 0.3 * depth
    for source, decibels in depths.items():
        stems[SOURCES.index(source)] *= ducking_gain(kicks, stems.shape[2], decibels, release)
    return {
        "depths_db": {source: round(decibels, 1) for source, decibels in depths.items()},
        "release_seconds": round(release, 3),
    }


def _compress(stems: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    threshold, ratio = float(rng.uniform(-5.0, 4.0)), float(rng.uniform(1.5, 4.0))
    attack, release = float(rng.uniform(0.005, 0.04)), float(rng.uniform(0.06, 0.4))
    gain = compressor_gain(stems.sum(axis=0), threshold, ratio, attack, release)
    stems *= gain
    return {
        "threshold_db": round(threshold, 1),
        "ratio": round(ratio, 2),
        "attack_seconds": round(attack, 4),
        "release_seconds": round(release, 3),
        "most_db": round(float(-20 * np.log10(gain.min(initial=1.0))), 1),
    }


def _limit(stems: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Bring the highest peaks down by some decibels; loudness is not made up for here."""
    most, release = float(rng.uniform(1.0, 8.0)), float(rng.uniform(0.03, 0.2))
    mixture = stems.sum(axis=0)
    peak = float(np.abs(mixture).max(initial=0.0))
    stems *= limiter_gain(mixture, peak * 10 ** (-most / 20), release)
    return {"most_db": round(most, 1), "release_seconds": round(release, 3)}


def _add_vinyl(stems: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    below, clicks = float(rng.uniform(38.0, 60.0)), float(2.0 ** rng.uniform(0.0, 4.5))
    noise = vinyl_noise(stems.shape[2], clicks, _level(stems) * 10 ** (-below / 20), rng)
    stems[_OTHER] += noise
    return {"hiss_db": round(-below, 1), "clicks_per_second": round(clicks, 1)}


def _add_hum(stems: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    below, hertz = float(rng.uniform(40.0, 60.0)), float(rng.choice((50.0, 60.0)))
    stems[_OTHER] += hum(stems.shape[2], hertz, _level(stems) * 10 ** (-below / 20), rng)
    return {"hum_db": round(-below, 1), "hertz": hertz}


def _level(stems: np.ndarray) -> float:
    """Return the RMS of the mixture."""
    return float(np.sqrt(np.mean(np.square(stems.sum(axis=0)), dtype=np.float64)))


def _respeed(stems: np.ndarray, time_scale: float) -> np.ndarray:
    """Play all stems at another speed: float32 `[4, 2, round(N * time_scale)]`."""
    import soxr

    length = round(stems.shape[2] * time_scale)
    played = np.zeros((*stems.shape[:2], length), np.float32)
    for stem, target in zip(stems, played, strict=True):
        if stem.any():
            slower = soxr.resample(stem.T, SAMPLE_RATE, SAMPLE_RATE * time_scale).T
            kept = min(length, slower.shape[1])
            target[:, :kept] = slower[:, :kept]
    return played


def _code(stems: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Code each stem at one bit rate, in place. AAC, which is faster, is drawn more often."""
    codecs = available_codecs()
    codec = codecs[-1] if rng.random() < 0.65 else codecs[0]
    kilobits = int(rng.choice(_BIT_RATES))
    for stem in stems:
        stem[:] = code(stem, codec, kilobits)
    return {"codec": codec, "kilobits": kilobits}
