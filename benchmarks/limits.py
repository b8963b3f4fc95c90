"""What the processor can do at most: how fast it multiplies matrices and reads memory.

All is measured on one thread, by the CPU time of that thread, so that other programs hardly count.
The best of several runs counts.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

Program = Callable[[], object]

MATRIX = 1536  # rows and columns
LONG = 5.0  # s
VECTOR = 1 << 26  # numbers: 256 MiB, more than any cache holds


@dataclass(frozen=True)
class Limits:
    """What one thread can do.

    Attributes:
        flops: floating-point operations in a second, in products of matrices.
        bytes: bytes in a second that are read from memory.
    """

    flops: float
    bytes: float

    @classmethod
    def measure(cls) -> "Limits":
        """Measure both."""
        matrix, vector = torch.randn(MATRIX, MATRIX), torch.ones(VECTOR)
        return cls(
            flops=2 * MATRIX**3 / cpu_seconds(lambda: matrix @ matrix, 5),
            bytes=4 * VECTOR / cpu_seconds(vector.sum, 5),
        )

    def seconds(self, flops: float, read: float = 0.0) -> float:
        """Return how long it takes at least to compute so much and to read so many bytes."""
        return max(flops / self.flops, read / self.bytes)

    def as_dict(self) -> dict[str, float]:
        """Return both by their names."""
        return asdict(self)


def cpu_seconds(work: Program, repeats: int = 3) -> float:
    """Return the shortest CPU time of this process for `work`.

    The first run warms up, and does not count; what takes longer than LONG is run only once.
    """
    return _shortest(work, repeats, time.process_time)


def clock_seconds(work: Program, repeats: int = 3) -> float:
    """Return the shortest time by the clock for `work`, as `cpu_seconds` does."""
    return _shortest(work, repeats, time.perf_counter)


def cpu_seconds_once(work: Program) -> float:
    """Return the CPU time of this process for `work`, which is run once and not warmed up."""
    return _once(work, time.process_time)


def _shortest(work: Program, repeats: int, clock: Callable[[], float]) -> float:
    times = [_once(work, clock)]
    if times[0] < LONG:
        times = [_once(work, clock) for _ in range(repeats)]
    return max(min(times), 1e-9)


def _once(work: Program, clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started


def flops_of(work: Program) -> float:
    """Count the floating-point operations of `work` in products of matrices and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())
