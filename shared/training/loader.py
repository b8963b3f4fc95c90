"""Make the next batches in threads while the model trains on this one.

Reading from the cache and numpy's arithmetic leave the interpreter lock free, so threads suffice:
no process to start, no tensor to copy between processes. `make_batch(step)` must be a pure function
of the step; then the stream is the same for any number of workers, and resuming at a step is
starting there.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class BatchStream(Iterator[T]):
    """Yields `make_batch(start) ... make_batch(stop - 1)` in order, made by `workers` threads ahead
    of time.

    As many batches as there are workers, and one more, are in the making or waiting. With no
    workers each batch is made when asked for. An exception of `make_batch` is raised when its batch
    is asked for, and ends the stream. `close()`, or leaving a `with` block, stops the threads.
    """

    def __init__(self, make_batch: Callable[[int], T], start: int, stop: int, workers: int) -> None:
        self._make_batch = make_batch
        self._next = start
        self._stop = stop
        self._ahead = workers + 1
        self._pending: deque[Future[T]] = deque()
        self._pool = ThreadPoolExecutor(workers, "batches") if workers else None
        self._fill()

    def __next__(self) -> T:
        try:
            return self._take()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop making batches; those under way are finished and dropped."""
        self._next = self._stop
        self._pending.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
