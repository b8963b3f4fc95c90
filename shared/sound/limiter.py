"""A true-peak limiter: FFmpeg's look-ahead limiter, led by the peaks between the samples.

The limiter gets two channels. The first holds the highest true peak around each sample of all that
is limited together. The second holds a constant, out of which the limiter's gain can be read. All
files then get the same gain, and where it is 1 they stay as they are, sample for sample.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import numpy.typing as npt

from shared.sound.sliced import Derived, SlicedSamples, StoredSamples

OVERSAMPLING = 4  # as BS.1770 measures true peaks
CEILING_DB = -1.0  # dB relative to full scale, which leaves room for lossy encoders
ATTACK_MS, RELEASE_MS = 5, 50

_PILOT = 1e-3  # the constant; far below the ceiling, so that it never sets the gain
_BLOCK = 1 << 16  # samples
_MARGIN = 64  # samples on either side that an oversampling filter reads
_CHUNK = 4096  # samples in a frame of FFmpeg


@dataclass(frozen=True, eq=False)
class Limiting:
    """What the limiter does.

    Attributes:
        gain: what to multiply each sample by `[1, N]`.
        smallest: the smallest gain.
        share: the share of the time in which it is below 1.
    """

    gain: SlicedSamples
    smallest: float = 1.0
    share: float = 0.0


def true_peaks(samples: SlicedSamples) -> npt.NDArray[np.float64]:
    """Return the highest amplitude of channels `[C, N]` at and after each sample `[N]`.

    Between the samples, the sound is interpolated at four times the rate.
    """
    return np.concatenate([np.zeros(0), *_true_peaks(samples)])


def _true_peaks(samples: SlicedSamples) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the true peaks block after block."""
    from scipy.signal import resample_poly  # takes a second to import, and few songs are limited

    length = samples.shape[1]
    for start in range(0, length, _BLOCK):
        low, high = max(0, start - _MARGIN), min(length, start + _BLOCK + _MARGIN)
        around = samples[:, low:high]
        inside = slice(start - low, min(length, start + _BLOCK) - low)
        finer = np.abs(resample_poly(around, OVERSAMPLING, 1, axis=1)).max(0)
        peaks = finer.reshape(-1, OVERSAMPLING).max(1)[inside]
        yield np.maximum(peaks, np.abs(around[:, inside]).max(0, initial=0.0)).astype(np.float64)


def limiting_gain(
    parts: Sequence[SlicedSamples],
    sample_rate: int,
    ceiling_db: float = CEILING_DB,
    folder: Path | None = None,
) -> Limiting:
    """Find by what to multiply each sample so that no part has peaks above the ceiling.

    Args:
        parts: sounds `[C, N]` of one length, which are limited together.
        sample_rate: of all of them.
        ceiling_db: the highest true peak that may stay, in dB relative to full scale.
        folder: where the gain of long sounds is kept (`StoredSamples`).
    """
    ceiling = 10 ** (ceiling_db / 20)
    peaks, gain = StoredSamples(1, folder), StoredSamples(1, folder)
    highest = 0.0
    for together in zip(*map(_true_peaks, parts), strict=True):
        block = np.max(together, axis=0)
        highest = max(highest, float(block.max(initial=0.0)))
        peaks.append(_not_below(block)[None])
    if highest <= ceiling:
        return Limiting(Derived(np.ones_like, peaks, channels=1))
    smallest, limited = 1.0, 0
    for raw in _run_limiter(_with_those_before(peaks), sample_rate, ceiling):
        start = gain.shape[1]
        around = peaks[0:1, max(0, start - 1) : start + len(raw)][0].astype(np.float64)
        before = around[:-1] if start else np.append(0, around[:-1])
        here = np.maximum(around[-len(raw) :], before[-len(raw) :])
        limit = np.minimum(raw, 1.0)
        limit[limit > 1 - 1e-6] = 1.0
        limit = np.minimum(limit, ceiling / np.maximum(here, ceiling)).astype(np.float32)
        smallest, limited = min(smallest, float(limit.min())), limited + int((limit < 1).sum())
        gain.append(limit[None])
    return Limiting(gain, smallest, limited / max(1, gain.shape[1]))


def _not_below(peaks: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Round up to float32, so that no peak is taken for a smaller one."""
    rounded = peaks.astype(np.float32)
    return np.where(rounded < peaks, np.nextafter(rounded, np.float32(np.inf)), rounded)


def _with_those_before(peaks: SlicedSamples) -> Iterator[npt.NDArray[np.float64]]:
    """Yield peaks in chunks; a peak after a sample is also one before the next."""
    last = 0.0
    for start in range(0, peaks.shape[1], _CHUNK):
        chunk = peaks[:, start : start + _CHUNK][0].astype(np.float64)
        before = np.append(last, chunk[:-1])
        last = float(chunk[-1])
        yield np.maximum(chunk, before)


def _run_limiter(
    chunks: Iterable[npt.NDArray[np.float64]], sample_rate: int, ceiling: float
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the gain of FFmpeg's limiter for a signal of peaks, in chunks of the same length."""
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

    def pull() -> Iterator[npt.NDArray[np.float64]]:
        while True:
            try:
                frames = graph.pull().to_ndarray().astype(np.float64)
            except (av.BlockingIOError, av.EOFError):
                return
            yield frames.reshape(-1, 2)[:, 1] / _PILOT

    pushed = pulled = 0
    for part in chunks:
        both = np.stack([part, np.full(len(part), _PILOT)], axis=1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(both, "dbl", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, pushed, time_base
        graph.push(frame)
        pushed += len(part)
        for block in pull():
            pulled += len(block)
            yield block
    graph.push(None)
    for block in pull():
        left = block[: pushed - pulled]
        pulled += len(left)
        if len(left):
            yield left
