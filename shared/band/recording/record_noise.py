"""What an old record adds: clicks and hiss of vinyl, and hum of the mains."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, oaconvolve, sosfilt

from shared.band.recording.render import SAMPLE_RATE


def vinyl_noise(
    num_samples: int, clicks_per_second: float, hiss: float, rng: np.random.Generator
) -> np.ndarray:
    """Return clicks and surface noise, float32 `[2, num_samples]`.

    Args:
        num_samples: length at 44.1 kHz.
        clicks_per_second: how often it clicks on average.
        hiss: RMS of the surface noise; most clicks have peaks of 3 to 30 times that.
        rng: the source of all chance.
    """
    noise = rng.standard_normal((2, num_samples), dtype=np.float32)
    band = butter(1, (120.0, 7000.0), "bandpass", fs=SAMPLE_RATE, output="sos")
    noise = sosfilt(band, noise, axis=1)
    noise *= hiss / max(float(noise.std()), 1e-12)
    count = int(rng.poisson(clicks_per_second * num_samples / SAMPLE_RATE))
    places = rng.integers(0, max(num_samples, 1), count)
    sizes = hiss * 10.0 * rng.lognormal(0.0, 0.8, count) * rng.choice((-1.0, 1.0), count)
    # A click moves the needle sideways or up and down: in phase or against it.
    sides = np.where(rng.random(count) < 0.7, 1.0, -1.0)
    impulses = np.zeros((2, num_samples), np.float32)
    np.add.at(impulses[0], places, sizes)
    np.add.at(impulses[1], places, sizes * sides)
    seconds = np.arange(round(0.004 * SAMPLE_RATE)) / SAMPLE_RATE
    click = np.exp(-seconds / 0.0004) * np.sin(2 * np.pi * rng.uniform(1500, 4000) * seconds)
    click /= max(float(np.abs(click).max()), 1e-12)
    noise += oaconvolve(impulses, click[None], axes=1)[:, :num_samples]
    return noise.astype(np.float32)


def hum(num_samples: int, hertz: float, level: float, rng: np.random.Generator) -> np.ndarray:
    """Return a hum of the mains' frequency and its overtones, float32 `[2, num_samples]`.

    Args:
        num_samples: length at 44.1 kHz.
        hertz: 50 or 60, or what became of it.
        level: its RMS.
        rng: draws the overtones.
    """
    seconds = np.arange(num_samples) / SAMPLE_RATE
    sound = np.zeros(num_samples)
    for harmonic in range(1, 9):
        # Rectifiers make the even ones strong.
        share = rng.uniform(0.3, 1.0) / harmonic * (1.0 if harmonic % 2 == 0 else 0.6)
        sound += share * np.sin(2 * np.pi * (hertz * harmonic * seconds + rng.random()))
    sound *= level / max(float(sound.std()), 1e-12)
    return np.repeat(sound[None].astype(np.float32), 2, axis=0)
