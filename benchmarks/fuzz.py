"""Give damaged inputs to every reader, and count what must not happen.

    python -m benchmarks.fuzz --inputs 100000
    python -m benchmarks.fuzz --inputs 2000 --only audio --seed 7
    python -m benchmarks.fuzz --repeat 12345          # one input, in this process

An input is damaged at random from a whole one (fuzz_readers.py), so that its number and the seed
repeat it. It is read by a child process, which has a limit of memory; its parent ends it where it
takes too long, and starts another one. These must not happen:

- crash: the child dies;
- hang: an input takes more than 10 s of computing, or 60 s;
- traceback: any error that a command does not turn into a sentence for the user;
- memory: the child needs more than 2 GB beyond what it had before the input;
- outside: a file is written, renamed or removed outside the child's own folder, the network is
  used, a program is started, or a pickle is loaded;
- remains: a temporary file is left.

The exit code is 1 if any of them has. The inputs that did it are kept in --out.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmarks.fuzz_readers import Subject, subjects
from benchmarks.tiny import build
from shared.commands import sentence_of
from shared.errors import UserError

MEMORY = 2 << 30  # bytes
CPU_SECONDS, WALL_SECONDS = 10.0, 60.0
INPUTS_OF_A_CHILD = 2_000  # so that what libraries leak does not count
_SLACK = 1 << 30  # bytes of address space beyond MEMORY, which counts what is in use only
_TICKS = os.sysconf("SC_CLK_TCK")

# What a reader must never do, by the names of Python's audit events.
_FORBIDDEN = (
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system"),
    *("os.exec", "os.posix_spawn", "pickle.find_class"),
)
_WRITING = (
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
)


@dataclass(frozen=True)
class Result:
    """What became of an input.

    Attributes:
        number: the input.
        subject: what read it.
        kind: "read", "refused", or what must not happen.
        detail: where and why.
    """

    number: int
    subject: str
    kind: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether it must not happen."""
        return self.kind not in ("read", "refused")


def main() -> None:
    """Run the inputs, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", help="subjects whose names contain this text")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--models", type=Path, help="a folder that benchmarks.tiny has filled")
    parser.add_argument("--repeat", type=int, help="read this input in this process")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        made = build(folder / "models") if given.models is None else _at(given.models)
        every = [each for each in subjects(made, folder / "whole") if given.only in each.name]
        if given.repeat is not None:
            os.chdir(folder)
            print(repeat(every, given.seed, given.repeat))
            return
        numbers = range(given.first, given.first + given.inputs)
        faults = run(every, given.seed, numbers, given.workers, folder, given.out.resolve())
    sys.exit(bool(faults))


def _at(folder: Path) -> Any:
    from benchmarks.tiny import Tiny

    return Tiny.at(folder.resolve())


def input_of(every: Sequence[Subject], seed: int, number: int) -> tuple[Subject, str, bytes]:
    """Make an input: who reads it, the name of its file, and its content."""
    chance = random.Random(f"{seed} {number}")
    (subject,) = chance.choices(every, [each.weight for each in every])
    return subject, *subject.make(chance)


def repeat(every: Sequence[Subject], seed: int, number: int) -> str:
    """Read an input in this process, with the traceback of any error."""
    subject, name, content = input_of(every, seed, number)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(f"{subject.name}: {name}, {len(content)} bytes: {content[:2000]!r}")
    try:
        subject.read(path)
    except UserError as error:
        return f"refused: {error}"
    return "read"


def run(
    every: Sequence[Subject], seed: int, numbers: range, workers: int, folder: Path, out: Path
) -> list[Result]:
    """Read inputs in children; print how many of each kind there were, and return the faults."""
    began = time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[Result] = []
    for result in _results(every, seed, numbers, workers, folder):
        counts[result.subject, result.kind] += 1
        if result.is_fault:
            faults.append(result)
            _keep(every, seed, result, out)
            print(f"{result.number} {result.subject}: {result.kind}: {result.detail}", flush=True)
        if sum(counts.values()) % 5000 == 0:
            print(f"{sum(counts.values())} inputs, {len(faults)} faults", flush=True)
    kinds = ["read", "refused", *sorted({kind for _, kind in counts} - {"read", "refused"})]
    print(f"| subject | inputs | {' | '.join(kinds)} |\n|---|{'---:|' * (len(kinds) + 1)}")
    for subject in (*sorted({name for name, _ in counts}), "all"):
        row = [
            sum(n for (s, k), n in counts.items() if k == kind and subject in (s, "all"))
            for kind in kinds
        ]
        print(f"| {subject} | {sum(row)} | {' | '.join(map(str, row))} |")
    print(f"{len(numbers)} inputs in {time.monotonic() - began:.0f} s, {len(faults)} faults")
    return faults


def _keep(every: Sequence[Subject], seed: int, result: Result, out: Path) -> None:
    _, name, content = input_of(every, seed, result.number)
    place = out / f"{result.kind}-{result.number}"
    place.mkdir(parents=True, exist_ok=True)
    (place / Path(name).name).write_bytes(content)
    (place / "why.json").write_text(json.dumps(vars(result)) + "\n", encoding="utf-8")


def _results(
    every: Sequence[Subject], seed: int, numbers: range, workers: int, folder: Path
) -> Iterator[Result]:
    """Keep so many children at work, and yield their results as they come."""
    shares = [[*numbers[start::workers]] for start in range(workers)]
    children: dict[Connection, _Child] = {}
    for index, share in enumerate(shares):
        if share:
            child = _Child(every, seed, share, folder / f"child-{index}")
            children[child.pipe] = child
    try:
        while children:
            ready = wait([*children], timeout=1.0)
            for pipe in [*children]:
                child = children[pipe]
                yield from child.news(pipe in ready)
                if child.left and child.pipe is not pipe:
                    children[child.pipe] = child
                if child.pipe is not pipe or not child.left:
                    del children[pipe]
    finally:
        for child in children.values():
            child.end()


class _Child:
    """A process that reads inputs one after the other, and its successors."""

    def __init__(
        self, every: Sequence[Subject], seed: int, numbers: list[int], folder: Path
    ) -> None:
        self.left = numbers
        self._every, self._seed, self._folder = every, seed, folder
        self._begin()

    def _begin(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self.pipe, other = multiprocessing.Pipe(duplex=False)
        # Forked, so that libraries and models need not be loaded again.
        context = multiprocessing.get_context("fork")
        batch = self.left[:INPUTS_OF_A_CHILD]
        arguments = (self._every, self._seed, batch, self._folder, other)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        other.close()
        self._in_batch = len(batch)
        self._mark()

    def _mark(self) -> None:
        self._since, self._cpu = time.monotonic(), _cpu_seconds(self._process.pid)

    def news(self, ready: bool) -> Iterator[Result]:
        """Return what the child has said, and what has become of it; start the next one."""
        if ready:
            try:
                while self._in_batch and self.pipe.poll():
                    result = self.pipe.recv()
                    self._done()
                    yield result
            except (EOFError, OSError):
                self._process.join()
                if self._in_batch:
                    yield self._fault("crash", f"exit code {self._process.exitcode}")
        elif (
            _cpu_seconds(self._process.pid) - self._cpu > CPU_SECONDS
            or time.monotonic() - self._since > WALL_SECONDS
        ):
            self.end()
            yield self._fault("hang", "it took too long")
        if not self._in_batch and self.left:
            self.end()
            self._begin()

    def _done(self) -> None:
        self.left = self.left[1:]
        self._in_batch -= 1
        self._mark()

    def _fault(self, kind: str, detail: str) -> Result:
        number = self.left[0]
        self.left, self._in_batch = self.left[1:], 0
        subject = input_of(self._every, self._seed, number)[0]
        return Result(number, subject.name, kind, detail)

    def end(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _cpu_seconds(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _work(
    every: Sequence[Subject], seed: int, numbers: Sequence[int], folder: Path, pipe: Connection
) -> None:
    """Read inputs in this process, which is a child, and send a result for each."""
    warnings.simplefilter("ignore")
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    with Path(os.devnull).open("w") as nothing:
        for number in (1, 2):
            os.dup2(nothing.fileno(), number)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + MEMORY + _SLACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    done: list[str] = []
    sys.addaudithook(lambda event, arguments: _watch(event, arguments, folder, done))
    for number in numbers:
        pipe.send(_read(every, seed, number, folder, done))
    pipe.close()
    os._exit(0)


def _watch(event: str, arguments: tuple[Any, ...], folder: Path, done: list[str]) -> None:
    """Note an event that must not happen."""
    if event in _FORBIDDEN:
        done.append(f"{event} {arguments!r:.200}")
        return
    names: list[Any] = []
    if event == "open":
        name, _, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        names = [name] if writes else []
    elif event in _WRITING:
        names = [name for name in arguments[:2] if isinstance(name, str | bytes)]
    for name in names:
        if isinstance(name, int):
            continue
        path = Path(os.fsdecode(name))
        # What a link names is written, but the link itself is removed.
        path = path.resolve() if event in ("open", "os.mkdir") else path.parent.resolve()
        if path != Path(os.devnull) and not path.is_relative_to(folder):
            done.append(f"{event} {os.fsdecode(name)!r:.200}")


def _read(
    every: Sequence[Subject], seed: int, number: int, folder: Path, done: list[str]
) -> Result:
    """Read an input in an empty folder."""
    subject, name, content = input_of(every, seed, number)
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    before = _reset_peak()
    done.clear()
    kind, detail = "read", ""
    try:
        subject.read(path)
    except MemoryError:
        kind, detail = "memory", _place()
    except (UserError, OSError) as error:
        if sentence_of(error) is None:
            kind, detail = "traceback", _place()
        else:
            kind = "refused"
    except BaseException:  # SystemExit too: nothing but UserError is meant to reach the command
        kind, detail = "traceback", _place()
    used = _peak() - before
    if used > MEMORY:
        kind, detail = "memory", f"{used >> 20} MiB; {detail}"
    elif done:
        kind, detail = "outside", "; ".join(done[:3])
    elif any(".unfinished-" in found.name for found in folder.rglob("*")):
        kind, detail = "remains", ""
    return Result(number, subject.name, kind, detail)


def _place() -> str:
    """Say which error is being handled, and where in the project it came from."""
    error = sys.exception()
    frames = traceback.extract_tb(error.__traceback__) if error else []
    root = str(Path(__file__).parents[1])
    own = [f for f in frames if f.filename.startswith(root) and "benchmarks" not in f.filename]
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    return f"{type(error).__name__} at {where}: {str(error)[:160]!r}"


def _reset_peak() -> int:
    """Let the system measure the peak of memory anew, and return what is in use, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    return 0


if __name__ == "__main__":
    main()
