"""How far the magnitudes of a sound are from those of its target, in bands of frequency.

Phases do not count. A decoder that writes the right partials at the right levels is close to its
target here, although its waveform may differ from the target's everywhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft
from scipy.signal import get_window

from shared.sound.samples import Samples

BANDS = ((30, 120), (120, 400), (400, 1000), (1000, 3000), (3000, 8000))  # Hz
N_FFT, HOP = 4096, 1024
QUIET_DB = 40.0  # frames of the target so far below its loudest frame are left out
FLOOR_DB = 80.0  # magnitudes count as at least so far below the target's loudest bin


@dataclass(frozen=True)
class BandDistance:
    """How far a sound is from its target in one band.

    Attributes:
        low: the lowest frequency of the band, in Hz.
        high: the frequency at which the band ends, in Hz.
        distance: the log-spectral distance in dB, nan where the target is silent.
        level_error: by how many dB the sound is louder than the target (negative: softer), nan
            where the target is silent.
    """

    low: int
    high: int
    distance: float
    level_error: float


def band_distances(
    estimate: Samples, target: Samples, sample_rate: int
) -> tuple[BandDistance, ...]:
    """Compare two mono sounds in each of BANDS.

    The distance of a frame is the root of the mean square, over the bins of the band, of the
    magnitudes' ratio in dB. Its level error is the ratio of the band's energies in dB. Both are
    averaged over the frames in which the target is not quiet.

    Args:
        estimate: float samples `[N]`.
        target: float samples `[N]`.
        sample_rate: of both, in Hz.

    Raises:
        ValueError: the shapes differ, or are not `[N]`.
    """
    if estimate.shape != target.shape or target.ndim != 1:
        raise ValueError(f"estimate {estimate.shape} and target {target.shape} must both be [N]")
    frames = _frames(target)
    energy = np.square(frames).sum(-1)
    sounding = energy > energy.max() * 10 ** (-QUIET_DB / 10)
    goal = np.abs(rfft(frames[sounding]))
    made = np.abs(rfft(_frames(estimate)[sounding]))
    floor = goal.max(initial=0) * 10 ** (-FLOOR_DB / 20)
    frequencies = np.arange(N_FFT // 2 + 1) * sample_rate / N_FFT
    result = []
    for low, high in BANDS:
        inside = (frequencies >= low) & (frequencies < high)
        a, b = (np.maximum(x[:, inside], floor).astype(np.float64) for x in (made, goal))
        distance = level_error = np.nan
        if a.size:
            distance = np.sqrt(np.square(20 * np.log10(a / b)).mean(-1)).mean()
            level_error = 10 * np.log10(np.square(a).sum(-1) / np.square(b).sum(-1)).mean()
        result.append(BandDistance(low, high, float(distance), float(level_error)))
    return tuple(result)


def _frames(samples: Samples) -> npt.NDArray[np.float32]:
    """Cut `[N]` into windowed frames `[T, N_FFT]`, after zeros at the end where it is short."""
    padded = np.pad(samples.astype(np.float32), (0, max(0, N_FFT - len(samples))))
    window = get_window("hann", N_FFT).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP] * window
