"""Gains over time: ducking by the kick, bus compression and limiting.

Each function returns one gain for each sample. The stems of a record are all multiplied by the
same gain, so that they still add up to the mixture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from shared.band.recording.render import SAMPLE_RATE

_BLOCK = 64  # samples that share one measurement
_RATE = SAMPLE_RATE / _BLOCK


def ducking_gain(
    onsets: Sequence[float],
    num_samples: int,
    depth_db: float,
    release_seconds: float,
    hold_seconds: float = 0.03,
) -> np.ndarray:
    """Return the gain of a stem that makes room for each stroke of the kick.

    Args:
        onsets: times of the strokes in seconds.
        num_samples: length of the stem.
        depth_db: by how much it gets softer.
        release_seconds: how long it takes to come back.
        hold_seconds: how long it stays soft.

    Returns:
        float32 `[num_samples]`, from `10 ** (-depth_db / 20)` to 1.
    """
    attack = round(0.004 * SAMPLE_RATE)
    hold, release = round(hold_seconds * SAMPLE_RATE), round(release_seconds * SAMPLE_RATE)
    fall = np.linspace(0.0, 1.0, attack, endpoint=False)
    rise = 0.5 + 0.5 * np.cos(np.linspace(0.0, np.pi, release))
    shape = np.concatenate([fall, np.ones(hold), rise])
    dip = (10 ** (-depth_db / 20 * shape)).astype(np.float32)
    gain = np.ones(num_samples, np.float32)
    for onset in onsets:
        # The gain has fallen when the stroke begins.
        start = round(onset * SAMPLE_RATE) - attack
        skip = max(-start, 0)
        place = gain[start + skip : start + len(dip)]
        np.minimum(place, dip[skip : skip + len(place)], out=place)
    return gain


def compressor_gain(
    mixture: np.ndarray,
    threshold_db: float,
    ratio: float,
    attack_seconds: float,
    release_seconds: float,
    knee_db: float = 6.0,
) -> np.ndarray:
    """Return the gain of a bus compressor with linked channels.

    Args:
        mixture: float32 `[2, N]`, what the compressor measures.
        threshold_db: above the mixture's mean level in the blocks that sound.
        ratio: how many decibels the input rises while the output rises by one.
        attack_seconds: time constant of a falling gain.
        release_seconds: time constant of a rising gain.
        knee_db: width of the range in which compression sets in.

    Returns:
        float32 `[N]`, at most 1.
    """
    power = np.mean(_blocks(mixture) ** 2, axis=(0, 2))
    sounding = power[power > 1e-6 * power.max(initial=0.0)]
    if not len(sounding):
        return np.ones(mixture.shape[1], np.float32)
    level = 10 * np.log10(np.maximum(power, 1e-12) / sounding.mean())
    over = level - threshold_db
    bent = np.clip(over + knee_db / 2, 0.0, knee_db) ** 2 / (2 * knee_db)
    wanted = -(1 - 1 / ratio) * np.where(over > knee_db / 2, over, bent)
    attack, release = (np.exp(-1 / (_RATE * t)) for t in (attack_seconds, release_seconds))
    current, followed = 0.0, []
    for decibels in wanted.tolist():
        weight = attack if decibels < current else release
        current = weight * current + (1 - weight) * decibels
        followed.append(current)
    return _per_sample(10 ** (np.array(followed) / 20), mixture.shape[1])


def limiter_gain(mixture: np.ndarray, ceiling: float, release_seconds: float) -> np.ndarray:
    """Return the gain that keeps a mixture under a ceiling, with 5 ms of look-ahead.

    Args:
        mixture: float32 `[2, N]`.
        ceiling: the highest absolute value that is let through.
        release_seconds: time constant of a rising gain.

    Returns:
        float32 `[N]`, at most 1.
    """
    peaks = np.abs(_blocks(mixture)).max(axis=(0, 2))
    wanted = np.minimum(ceiling / np.maximum(peaks, 1e-12), 1.0)
    weight = float(np.exp(-1 / (_RATE * release_seconds)))
    current, followed = 1.0, []
    for gain in wanted.tolist():
        current = min(gain, weight * current + 1 - weight)
        followed.append(current)
    width = 2 * round(0.005 * _RATE / 2) + 1
    # A mean of minima over the same width is never above the gain in the middle; one block more
    # covers the interpolation between blocks.
    lowest = minimum_filter1d(np.array(followed), width + 2)
    return _per_sample(uniform_filter1d(lowest, width), mixture.shape[1])


def _blocks(mixture: np.ndarray) -> np.ndarray:
    """Cut `[2, N]` into `[2, blocks, 64]`; the last block is filled up with zeros."""
    missing = -mixture.shape[1] % _BLOCK
    return np.pad(mixture, ((0, 0), (0, missing))).reshape(2, -1, _BLOCK)


def _per_sample(gains: np.ndarray, num_samples: int) -> np.ndarray:
    """Interpolate gains of blocks, which hold at their middle."""
    middles = (np.arange(len(gains)) + 0.5) * _BLOCK
    return np.interp(np.arange(num_samples), middles, gains).astype(np.float32)
