"""Loudness by ITU-R BS.1770-4, as pyloudnorm measures it."""

import numpy as np
import numpy.typing as npt

from shared.sound.sliced import SlicedSamples

_BLOCK = 0.4  # s, the shortest sound that has a loudness
_STEPS = 4  # a block begins every 0.1 s
_OFFSET = -0.691  # dB
_AUDIBLE = -70.0  # LUFS; softer blocks do not count
_RELATIVE = -10.0  # dB; nor do blocks that are so much softer than the others on average
_STEPS_AT_ONCE = 200  # are filtered together, so that memory stays flat
_LOWEST_RATE = 8000  # Hz; the filters of the standard need the frequencies up to half of it


def integrated_loudness(samples: SlicedSamples, sample_rate: int) -> float | None:
    """Measure the loudness of samples `[channels, N]` in LUFS.

    Returns:
        The loudness; None where there is none, because the sound is silent, shorter than 0.4 s, or
        has a sample rate under 8 kHz.
    """
    length = samples.shape[1]
    if sample_rate < _LOWEST_RATE or length < _BLOCK * sample_rate:
        return None
    blocks = round((length / sample_rate - _BLOCK) / (_BLOCK / _STEPS)) + 1
    edges = (_BLOCK * np.arange(blocks + _STEPS) / _STEPS * sample_rate).astype(np.int64)
    steps = _weighted_energies(samples, sample_rate, edges.clip(max=length))
    energies = np.convolve(steps, np.ones(_STEPS), "valid") / (_BLOCK * sample_rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = _OFFSET + 10 * np.log10(energies)
        audible = energies[levels >= _AUDIBLE]
        if not len(audible):
            return None
        relative = _OFFSET + 10 * np.log10(audible.mean()) + _RELATIVE
        counted = energies[(levels > relative) & (levels > _AUDIBLE)]
        loudness = _OFFSET + 10 * np.log10(counted.mean()) if len(counted) else -np.inf
    return round(float(loudness), 2) if np.isfinite(loudness) else None


def _weighted_energies(
    samples: SlicedSamples, sample_rate: int, edges: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the energy of the K-weighted sound between each edge and the next one.

    The filters are pyloudnorm's.
    """
    import pyloudnorm
    from scipy.signal import lfilter

    filters = pyloudnorm.Meter(sample_rate)._filters.values()
    states = [np.zeros((samples.shape[0], 2)) for _ in filters]
    energies = []
    for first in range(0, len(edges) - 1, _STEPS_AT_ONCE):
        inside = edges[first : first + _STEPS_AT_ONCE + 1]
        weighted = samples[:, inside[0] : inside[-1]]
        for index, each in enumerate(filters):
            filtered, states[index] = lfilter(each.b, each.a, weighted, zi=states[index])
            weighted = each.passband_gain * filtered
        sums = np.append(0, np.square(weighted).sum(0).cumsum())
        energies.append(np.diff(sums[inside - inside[0]]))
    return np.concatenate(energies)
