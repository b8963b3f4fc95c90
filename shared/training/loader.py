"""Make the next batches in threads while the model trains on this one.

Threads suffice, because reading from the cache and numpy's arithmetic release the interpreter lock.
They need no process to be started and no tensor to be copied between processes. `make_batch(step)`
must be a pure function of the step. Then the stream is the same for any number of workers, and a
resumed run starts it at a later step.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class BatchStream(Iterator[T]):
    """Yields `make_batch(start) ... make_batch(stop - 1)` in order.

    `workers` threads make them ahead of time, at most `workers + 1` batches ahead. With no workers
    each batch is made when it is asked for. An exception of `make_batch` is raised when its batch
    is asked for, and ends the stream. `close()`, or leaving a `with` block, stops the threads.
    """

    def __init__(self, make_batch: Callable[[int], T], start: int, stop: int, workers: int) -> None:
        """Start the threads."""
        self._make_batch = make_batch
        self._next = start
        self._stop = stop
        self._ahead = workers + 1
        self._pending: deque[Future[T]] = deque()
        self._pool = ThreadPoolExecutor(workers, "batches") if workers else None
        self._fill()

    def __next__(self) -> T:
        """Return the next batch, waiting for it if need be."""
        try:
            return self._take()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop making batches; those that are being made are finished and dropped."""
        self._next = self._stop
        self._pending.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        """Return the stream, which is closed at the end of the `with` block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the stream."""
        self.close()

    def _take(self) -> T:
        if self._pool is None:
            if self._next >= self._stop:
                raise StopIteration
            self._next += 1
            return self._make_batch(self._next - 1)
        if not self._pending:
            raise StopIteration
        batch = self._pending.popleft().result()
        self._fill()
        return batch

    def _fill(self) -> None:
        while self._pool and self._next < self._stop and len(self._pending) < self._ahead:
            self._pending.append(self._pool.submit(self._make_batch, self._next))
            self._next += 1
