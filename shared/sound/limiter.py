"""A true-peak limiter: FFmpeg's look-ahead limiter, led by the peaks between the samples.

The limiter gets two channels. The first holds the highest true peak around each sample of all that
is limited together. The second holds a constant, out of which the limiter's gain can be read. All
files then get the same gain, and where it is 1 they stay as they are, sample for sample.
"""

from collections.abc import Sequence
from fractions import Fraction

import av
import av.filter
import numpy as np
import numpy.typing as npt

from shared.sound.samples import Samples

OVERSAMPLING = 4  # as BS.1770 measures true peaks
CEILING_DB = -1.0  # dB relative to full scale, which leaves room for lossy encoders
ATTACK_MS, RELEASE_MS = 5, 50

_PILOT = 1e-3  # the constant; far below the ceiling, so that it never sets the gain
_BLOCK = 1 << 16  # samples
_MARGIN = 64  # samples on either side that an oversampling filter reads
_CHUNK = 4096  # samples in a frame of FFmpeg


def true_peaks(samples: Samples) -> npt.NDArray[np.float64]:
    """Return the highest amplitude of channels `[C, N]` at and after each sample `[N]`.

    Between the samples, the sound is interpolated at four times the rate.
    """
    from scipy.signal import resample_poly  # takes a second to import, and few songs are limited

    length = samples.shape[1]
    peaks = np.zeros(length)
    for start in range(0, length, _BLOCK):
        low, high = max(0, start - _MARGIN), min(length, start + _BLOCK + _MARGIN)
        finer = np.abs(resample_poly(samples[:, low:high], OVERSAMPLING, 1, axis=1)).max(0)
        stop = min(length, start + _BLOCK)
        peaks[start:stop] = finer.reshape(-1, OVERSAMPLING).max(1)[start - low : stop - low]
    return np.maximum(peaks, np.abs(samples).max(0, initial=0.0))


def limiting_gain(
    parts: Sequence[Samples], sample_rate: int, ceiling_db: float = CEILING_DB
) -> npt.NDArray[np.float32]:
    """Return what to multiply each sample by `[N]` so that no part has peaks above the ceiling.

    Args:
        parts: sounds `[C, N]` of one length, which are limited together.
        sample_rate: of all of them.
        ceiling_db: the highest true peak that may stay, in dB relative to full scale.
    """
    ceiling = 10 ** (ceiling_db / 20)
    peaks = np.max([true_peaks(part) for part in parts], axis=0)
    if peaks.max(initial=0.0) <= ceiling:
        return np.ones(len(peaks), np.float32)
    # A peak after a sample is also one before the next.
    peaks[1:] = np.maximum(peaks[1:], peaks[:-1])
    gain = np.minimum(_run_limiter(peaks, sample_rate, ceiling), 1.0)
    gain[gain > 1 - 1e-6] = 1.0
    return np.minimum(gain, ceiling / np.maximum(peaks, ceiling)).astype(np.float32)


def _run_limiter(
    peaks: npt.NDArray[np.float64], sample_rate: int, ceiling: float
) -> npt.NDArray[np.float64]:
    """Return the gain of FFmpeg's limiter for a signal of peaks `[N]`."""
    graph = av.filter.Graph()
    time_base = Fraction(1, sample_rate)
    source = graph.add_abuffer(
        sample_rate=sample_rate, format="dbl", layout="stereo", time_base=time_base
    )
    limiter = graph.add(
        "alimiter",
        f"limit={ceiling}:attack={ATTACK_MS}:release={RELEASE_MS}:level=0:latency=1",
    )
    sink = graph.add("abuffersink")
    source.link_to(limiter)
    limiter.link_to(sink)
    graph.configure()
    blocks: list[npt.NDArray[np.float64]] = []

    def pull() -> None:
        while True:
            try:
                frames = graph.pull().to_ndarray().astype(np.float64)
                blocks.append(frames.reshape(-1, 2)[:, 1])
            except (av.BlockingIOError, av.EOFError):
                return

    for start in range(0, len(peaks), _CHUNK):
        part = peaks[start : start + _CHUNK]
        both = np.stack([part, np.full(len(part), _PILOT)], axis=1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, "dbl", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, start, time_base
        graph.push(frame)
        pull()
    graph.push(None)
    pull()
    return np.concatenate(blocks)[: len(peaks)] / _PILOT
