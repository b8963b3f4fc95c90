"""One queue of jobs, and the worker that does them."""

import asyncio
import multiprocessing
import secrets
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal, Protocol

from shared.errors import UserError, require
from stage2_prior.studio.orders import Failed, Finished, Order, Progress, Report
from stage2_prior.studio.worker import DEFECT, LoadBand, work

MOST_WAITING = 8  # jobs of one user
REMEMBERED = 50  # jobs that have ended
ENDED_EARLY = Failed("the worker ended early, perhaps because memory ran out: try it again")


@dataclass(eq=False)
class Job:
    """An order on its way.

    Attributes:
        user: whose it is.
        session: the session that it belongs to.
        label: what the user calls it, such as "open the song".
        order: what the worker does.
        succeeded: what the server does when the worker has done it.
        given_up: what the server does when it failed or was cancelled, if anything.
        id: an unguessable name.
        state: how far it is.
        step: what the worker does now.
        done: the share that is done, from 0 to 1.
        problem: why it failed.
    """

    user: str
    session: str
    label: str
    order: Order
    succeeded: Callable[[], None]
    given_up: Callable[[], None] = lambda: None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    state: Literal["waiting", "running", "done", "failed", "cancelled"] = "waiting"
    step: str = ""
    done: float = 0.0
    problem: str = ""

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")


class Worker(Protocol):
    """Who does the work, one order after the other."""

    def start(self) -> None:
        """Get ready; nothing where it is ready."""

    def stop(self) -> None:
        """End at once, whatever it does. `start` makes it ready again."""

    def reports(self, order: Order) -> AsyncIterator[Report]:
        """Have an order done, and return what is said of it. The last is no `Progress`."""


class WorkerProcess:
    """The worker as a process of its own (worker.py), which is started anew where it has ended."""

    def __init__(self, load: LoadBand) -> None:
        """Take what loads the models in the process; it must be importable there by its name."""
        self._load = load
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def start(self) -> None:
        """Start the process, which loads the models."""
        if self._process is not None and self._process.is_alive():
            return
        context = multiprocessing.get_context("spawn")
        self._pipe, other_end = context.Pipe()
        self._process = context.Process(target=work, args=(other_end, self._load), daemon=True)
        self._process.start()
        other_end.close()  # so that reading fails when the process ends

    def stop(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    async def reports(self, order: Order) -> AsyncIterator[Report]:
        """Send an order to the process, and return what it answers."""
        self.start()
        assert self._pipe is not None
        try:
            self._pipe.send(order)
            while True:
                report: Report = await asyncio.to_thread(self._pipe.recv)
                yield report
                if not isinstance(report, Progress):
                    return
        except (EOFError, OSError):
            yield ENDED_EARLY


class Jobs:
    """The queue. All of its methods are called in the event loop of the server."""

    def __init__(self, worker: Worker) -> None:
        """Take the worker."""
        self._worker = worker
        self._jobs: list[Job] = []
        self._news = asyncio.Condition()
        self._version = 0  # of the queue; it rises with every change
        self._pending: set[asyncio.Task[None]] = set()
        self._watched = True

    def add(self, job: Job) -> None:
        """Put a job at the end of the queue.

        Raises:
            UserError: too many jobs of this user wait.
        """
        waiting = [each for each in self._jobs if each.user == job.user and each.active]
        require(
            len(waiting) < MOST_WAITING,
            f"{len(waiting)} jobs wait already: wait for one of them, or cancel it",
        )
        over = [each for each in self._jobs if not each.active]
        for old in over[: max(0, len(over) - REMEMBERED)]:
            self._jobs.remove(old)
        self._jobs.append(job)
        self._tell()

    def cancel(self, user: str, id: str) -> None:
        """End a job of a user.

        Raises:
            UserError: there is no such job, or it has ended.
        """
        for job in self._jobs:
            if job.user == user and job.id == id and job.active:
                running = job.state == "running"
                job.state = "cancelled"
                if running:
                    self._worker.stop()  # `run` notices, and starts it anew
                else:
                    job.given_up()
                self._tell()
                return
        raise UserError("there is no such job any more")

    def cancel_session(self, user: str, session: str) -> None:
        """End all jobs of a session."""
        for job in [*self._jobs]:
            if job.user == user and job.session == session and job.active:
                self.cancel(user, job.id)

    def of(self, user: str) -> list[dict[str, Any]]:
        """Return what a page shows of the jobs of a user, in order."""
        queue = [job for job in self._jobs if job.active]
        return [
            {
                "id": job.id,
                "session": job.session,
                "label": job.label,
                "state": job.state,
                "before": queue.index(job) if job.active else 0,
                "step": job.step,
                "done": job.done,
                "problem": job.problem,
            }
            for job in self._jobs
            if job.user == user
        ]

    async def watch(self, user: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Return the jobs of a user, now and whenever something about them has changed.

        It ends after `end_watching`.
        """
        shown, seen = None, -1
        while self._watched:
            async with self._news:
                while self._version == seen:
                    await self._news.wait()
            seen, now = self._version, self.of(user)
            if now != shown:
                shown = now
                yield now

    def end_watching(self) -> None:
        """End all watching, because the server ends."""
        self._watched = False
        self._tell()

    async def run(self) -> None:
        """Do the jobs in order, for ever."""
        self._worker.start()
        while True:
            job = next((job for job in self._jobs if job.state == "waiting"), None)
            if job is not None:
                await self._do(job)
                continue
            async with self._news:
                await self._news.wait_for(lambda: any(j.state == "waiting" for j in self._jobs))

    def stop(self) -> None:
        """End the worker. `run` must have been ended before, or it would start it anew."""
        self._worker.stop()

    async def _do(self, job: Job) -> None:
        job.state, job.step = "running", "waiting for the models"
        self._tell()
        async for report in self._worker.reports(job.order):
            if job.state == "cancelled":
                break
            if isinstance(report, Progress):
                job.step, job.done = report.step, report.done
            elif isinstance(report, Finished):
                self._succeed(job)
            else:
                job.state, job.problem = "failed", report.problem
            self._tell()
        if job.state != "done":
            job.given_up()
            self._tell()
        self._worker.start()  # so that the models are there when the next job comes

    def _succeed(self, job: Job) -> None:
        try:
            job.succeeded()
        except UserError as error:
            job.state, job.problem = "failed", str(error)
        except Exception:  # a defect must not end the queue
            traceback.print_exc()
            job.state, job.problem = "failed", DEFECT
        else:
            job.state, job.done = "done", 1.0

    def _tell(self) -> None:
        """Wake who waits for news."""
        self._version += 1
        task = asyncio.get_running_loop().create_task(self._notify())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()


async def ended(task: "asyncio.Task[None]") -> None:
    """Cancel a task, and wait until it has ended."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
