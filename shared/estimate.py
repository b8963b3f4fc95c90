"""How much of a job is done, and how long the rest takes, from what its steps usually cost."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

USUAL_SONG = 180.0  # s, the length of a song that has not been read yet
TRUST = 3.0  # s; the pace of the machine counts in full when much more than this was worked


@dataclass(frozen=True)
class Step:
    """A step of a job.

    Attributes:
        name: what is said while it is done.
        fixed: seconds that it takes for any song.
        per_second: seconds that it takes in addition for each second of a song.
    """

    name: str
    fixed: float
    per_second: float = 0.0

    def cost(self, song_seconds: float) -> float:
        """Return how many seconds the step usually takes."""
        return self.fixed + self.per_second * song_seconds


class Estimate:
    """Follows a job that does some steps once and others for each song.

    Within a step, the share that is done comes ever nearer to the end of the step, so that it never
    stands still and never arrives too early. It never falls.
    """

    def __init__(
        self,
        once: Sequence[Step],
        each: Sequence[Step],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin now.

        Args:
            once: the steps before the first song, in order.
            each: the steps of each song, in order.
            clock: tells the time in seconds.
        """
        self._each, self._clock = list(each), clock
        self._remaining = [*once, *each]  # of the current song, and what precedes the first one
        self._begun = self._step_begun = clock()
        self._songs = 1  # how many there are
        self._song = 0  # how many were begun
        self._seconds = USUAL_SONG  # the length of the song that was read last
        self._current: Step | None = None
        self._spent = 0.0  # the usual cost of the steps that are done
        self._shown = 0.0

    def expect(self, songs: int) -> None:
        """Say how many songs there are."""
        self._songs = songs

    def begin_song(self) -> None:
        """Say that the next song begins. Steps that the last one has not reached are over."""
        self._leave()
        self._song += 1
        self._remaining = list(self._each)

    def begin(self, name: str, song_seconds: float | None = None) -> None:
        """Say that a step begins, and how long the song is, if that is known."""
        self._leave()
        if song_seconds:
            self._seconds = song_seconds
        names = [step.name for step in self._remaining]
        self._current = Step(name, 0.0)
        if name in names:
            place = names.index(name)
            self._current = self._remaining[place]
            self._remaining = self._remaining[place + 1 :]

    @property
    def elapsed(self) -> float:
        """The seconds since the beginning."""
        return self._clock() - self._begun

    @property
    def share(self) -> float:
        """The share of the job that is done, below 1."""
        done = self._spent + self._within()
        self._shown = max(self._shown, done / max(done + self._ahead(), 1e-9))
        return min(self._shown, 0.999)

    @property
    def left(self) -> float:
        """The seconds that the rest probably takes, at the pace of this machine."""
        done = self._spent + self._within()
        pace = (self.elapsed + TRUST) / (done + TRUST)
        return self._ahead() * pace

    def _leave(self) -> None:
        if self._current is not None:
            self._spent += self._current.cost(self._seconds)
        self._current, self._step_begun = None, self._clock()

    def _within(self) -> float:
        """How much of the usual cost of the current step is done."""
        current = self._current  # A bar asks from a thread of its own while steps change.
        if current is None:
            return 0.0
        cost = current.cost(self._seconds)
        passed = self._clock() - self._step_begun
        return cost * (1 - math.exp(-passed / cost)) if cost > 0 else 0.0

    def _ahead(self) -> float:
        """The usual cost of all that is not done."""
        this = sum(step.cost(self._seconds) for step in self._remaining)
        current = self._current
        if current is not None:
            this += current.cost(self._seconds) - self._within()
        others = max(0, self._songs - max(self._song, 1))
        return this + others * sum(step.cost(self._seconds) for step in self._each)
