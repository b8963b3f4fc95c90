"""YIN, which estimates the pitch of frames of sound (de Cheveigné and Kawahara, 2002).

The results are those of `librosa.yin`, without loading librosa and numba, which take longer than
the pitches of a minute of sound.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TROUGH = 0.1  # the first trough of the difference below this is the period


def yin(frames: Floats, rate: float, lowest: float, highest: float) -> Floats:
    """Estimate the fundamental frequency of each frame in Hz `[F]`.

    Args:
        frames: samples `[F, window]`.
        rate: their sample rate in Hz.
        lowest: the lowest frequency that is looked for.
        highest: the highest one.
    """
    first = int(np.floor(rate / highest))
    last = min(int(np.ceil(rate / lowest)), frames.shape[1] - 1)
    difference = _normalised_difference(frames, first, last)
    is_trough = np.empty(difference.shape, np.bool_)
    is_trough[:, 1:-1] = (difference[:, 1:-1] < difference[:, :-2]) & (
        difference[:, 1:-1] <= difference[:, 2:]
    )
    is_trough[:, 0] = difference[:, 0] < difference[:, 1]
    is_trough[:, -1] = difference[:, -1] < difference[:, -2]
    is_deep = is_trough & (difference < TROUGH)
    chosen = np.where(is_deep.any(1), is_deep.argmax(1), difference.argmin(1))
    return np.asarray(rate / (first + chosen + _shift(difference, chosen)))


def _normalised_difference(frames: Floats, first: int, last: int) -> Floats:
    """Return the cumulative mean normalised difference at the lags `first` to `last` `[F, L]`."""
    from scipy.fft import irfft, next_fast_len, rfft

    length = next_fast_len(2 * frames.shape[1] - 1, real=True)
    spectrum = rfft(frames, length, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    products = irfft(power, length, axis=1)[:, : last + 1]
    energy = np.square(frames[:, :last]).cumsum(1)
    difference = 2 * (products[:, :1] - products[:, 1:]) - energy
    mean = difference.cumsum(1) / np.arange(1, last + 1)
    tiny = np.finfo(np.float64).tiny
    return np.asarray(difference[:, first - 1 :] / (mean[:, first - 1 :] + tiny))


def _shift(difference: Floats, chosen: npt.NDArray[np.int64]) -> Floats:
    """Return how far from the chosen lag the minimum of a parabola through its neighbours lies."""
    last = difference.shape[1] - 1
    rows = np.arange(len(chosen))
    middle = chosen.clip(1, last - 1)
    before, at, after = (difference[rows, middle + step] for step in (-1, 0, 1))
    curvature, slope = after + before - 2 * at, (after - before) / 2
    near = (np.abs(slope) < np.abs(curvature)) & (chosen > 0) & (chosen < last)
    return np.where(near, -slope / np.where(near, curvature, 1), 0)
