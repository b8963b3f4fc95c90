"""A spoken syllable, analysed by WORLD: spectral envelope, noise, and where the vowel is."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from shared.band.recording.render import SAMPLE_RATE
from shared.errors import UserError

FRAME_SECONDS = 0.005
RESPONSE = 1024  # samples of an impulse response at 44.1 kHz
BINS = RESPONSE // 2 + 1
HERTZ = np.arange(BINS) * SAMPLE_RATE / RESPONSE
_FLOOR = 1e-10  # of the power of an envelope
_SONORITY = (500.0, 3500.0)  # Hz between which vowels are louder than nasals
_NUCLEUS = 9.0  # dB under its loudest frame that still belong to the vowel
_AUDIBLE = 42.0  # dB under its loudest frame that still belong to a word
_DYING = 28.0  # the same for voiced sounds, which fade out
_CLOSURE = 0.12  # seconds; the longest silence within a word
_LONGEST_CODA = 0.20  # seconds after the vowel
_LONGEST_ONSET = 0.18  # seconds before it


@dataclass(frozen=True)
class Syllable:
    """A spoken syllable of F frames, FRAME_SECONDS apart.

    Attributes:
        envelope: float `[F, BINS]`, the natural logarithm of the power from 0 to 22050 Hz.
        noise: float `[F, BINS]`, the share of that power that is noise.
        voiced: bool `[F]`.
        nucleus: the first frame of the vowel, and the first after it.
    """

    envelope: np.ndarray
    noise: np.ndarray
    voiced: np.ndarray
    nucleus: tuple[int, int]


def analysis_available() -> bool:
    """Tell whether pyworld is installed."""
    return find_spec("pyworld") is not None


def analyse(speech: np.ndarray, rate: int) -> Syllable:
    """Analyse a syllable, without the silence around it.

    The loudness of its vowel is made more even, and its mean power is brought to one.

    Args:
        speech: float64 `[N]`.
        rate: its sample rate in Hz.

    Raises:
        UserError: pyworld is missing, or no vowel is found.
    """
    try:
        import pyworld
    except ImportError as error:
        raise UserError("sung voices need pyworld; install it with pip") from error
    speech = np.ascontiguousarray(speech, np.float64)
    rough, times = pyworld.dio(
        speech, rate, f0_floor=60.0, f0_ceil=500.0, frame_period=1000 * FRAME_SECONDS
    )
    f0 = pyworld.stonemask(speech, rough, times, rate)
    envelope = pyworld.cheaptrick(speech, f0, times, rate)
    noise = pyworld.d4c(speech, f0, times, rate) ** 2
    voiced = (f0 > 0) & (noise.mean(axis=1) < 0.9)
    source = np.linspace(0.0, rate / 2, envelope.shape[1])
    band = (source >= _SONORITY[0]) & (source <= _SONORITY[1])
    sonority = 10 * np.log10(np.maximum(envelope[:, band].mean(axis=1), _FLOOR))
    nucleus = _nucleus(sonority, voiced)
    level = _level(speech, rate, len(f0))
    first, last = _audible(level, voiced, nucleus)
    log = np.log(np.maximum(envelope[first:last], _FLOOR)).astype(np.float32)
    log, noise = _widen(log, noise[first:last].astype(np.float32), voiced[first:last], rate)
    vowel = slice(nucleus[0] - first, nucleus[1] - first)
    _even_out(log, vowel)
    return Syllable(log, noise, voiced[first:last], (vowel.start, vowel.stop))


def _nucleus(sonority: np.ndarray, voiced: np.ndarray) -> tuple[int, int]:
    """Find the frames around the most sonorous voiced one whose level (dB) is near its own."""
    smooth = np.convolve(np.pad(sonority, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    smooth = np.where(voiced, smooth, -np.inf)
    peak = int(np.argmax(smooth))
    low = np.flatnonzero(smooth < smooth[peak] - _NUCLEUS)
    before, after = low[low < peak], low[low > peak]
    first = int(before[-1]) + 1 if len(before) else 0
    last = int(after[0]) if len(after) else len(smooth)
    if not voiced[peak] or last - first < 6:
        raise UserError("no vowel was found in a spoken word")
    return first, last


def _level(speech: np.ndarray, rate: int, frames: int) -> np.ndarray:
    """Return the power of 20 ms around each frame in dB, `[frames]`."""
    energy = np.cumsum(np.pad(speech**2, (1, 0)))
    centre = np.arange(frames) * FRAME_SECONDS * rate
    bounds = np.clip([centre - 0.01 * rate, centre + 0.01 * rate], 0, len(speech)).astype(int)
    return 10 * np.log10(np.maximum(np.diff(energy[bounds], axis=0)[0] / (0.02 * rate), _FLOOR))


def _audible(level: np.ndarray, voiced: np.ndarray, nucleus: tuple[int, int]) -> tuple[int, int]:
    """Find the frames in which the word is heard, for as long as consonants may last."""
    # Some recordings hiss; a vowel that dies away is over before a consonant would be.
    hiss = float(np.percentile(level, 10))
    least = np.where(voiced, level.max() - _DYING, max(level.max() - _AUDIBLE, hiss + 10.0))
    heard = level > least
    heard[nucleus[0] : nucleus[1]] = True
    loud = np.flatnonzero(heard)
    # A word has gaps, before plosives, but no long ones.
    words = np.split(loud, np.flatnonzero(np.diff(loud) > _CLOSURE / FRAME_SECONDS) + 1)
    loud = next(word for word in words if word[0] <= nucleus[0] <= word[-1])
    first = max(int(loud[0]), nucleus[0] - round(_LONGEST_ONSET / FRAME_SECONDS))
    last = min(int(loud[-1]) + 1, nucleus[1] + round(_LONGEST_CODA / FRAME_SECONDS))
    return min(first, nucleus[0]), max(last, nucleus[1])


def _widen(
    log: np.ndarray, noise: np.ndarray, voiced: np.ndarray, rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bring envelopes from a sample rate of `rate` Hz to 44.1 kHz.

    Above the recorded band vowels fall by 18 dB an octave and consonants by 8. There all is noise.
    """
    edge = 0.45 * rate
    position = np.minimum(HERTZ, edge) / (rate / 2) * (log.shape[1] - 1)
    log, noise = read_columns(log, position), read_columns(noise, position)
    beyond = edge < HERTZ
    near = (0.8 * edge < HERTZ) & ~beyond
    octaves = np.log2(HERTZ[beyond] / edge).astype(np.float32)
    slope = np.where(voiced, 18.0, 8.0).astype(np.float32) * np.float32(np.log(10) / 10)
    log[:, beyond] = log[:, near].mean(axis=1, keepdims=True) - slope[:, None] * octaves
    noise[:, beyond] = np.maximum(noise[:, beyond], 0.9)
    return log, noise


def read_columns(table: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Read `[F, M]` at `position` `[K]` between its columns: `[F, K]`."""
    left = np.minimum(position.astype(int), table.shape[1] - 2)
    weight = (position - left).astype(table.dtype)
    return table[:, left] * (1 - weight) + table[:, left + 1] * weight


def _even_out(log: np.ndarray, vowel: slice) -> None:
    """Bring a vowel's mean power to one and its frames nearer to it, in place.

    Consonants are kept at least 3 dB below their vowel.
    """
    power = np.log(np.exp(log).mean(axis=1))
    mean = power[vowel].mean()
    log -= mean
    excess = np.maximum(power - mean + np.log(2.0), 0.0)
    excess[vowel] = 0.7 * (power[vowel] - mean)
    log -= excess[:, None].astype(log.dtype)
