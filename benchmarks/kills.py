"""Kill every long command again and again, and check that nothing is lost.

    python -m benchmarks.kills --kills 60
    python -m benchmarks.kills --only train-vqvae --kills 20 --seed 3

A command runs in a process of its own on small songs (tiny.py), and is killed with SIGKILL, SIGTERM
or SIGINT: at a random time, or when it opens, renames or removes a file for the n-th time. Then:

- every file with a final name is whole: it has the bytes that the uninterrupted command writes, or
  the program reads it without complaint;
- the same command, run again, succeeds, and leaves the same files as the uninterrupted one, byte
  for byte but for the times that a log and a training state hold;
- no temporary file stays. Temporary files are made to look old before, because younger ones than a
  minute are left alone (shared/atomic.py).

The exit code is 1 if any of this does not hold.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

import cli
from benchmarks.tiny import Tiny, build
from shared.codes.song_codes import SUFFIX, SongCodes
from shared.songs.cache import build_cache
from shared.sound.files import read_audio
from shared.training.checkpoint import is_checkpoint
from stage2_prior.studio.orders import MakeTake, OpenSong
from stage2_prior.studio.sessions import Store

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
_OLD = 120.0  # s
# What no two runs share, and, in made_from, when the songs were written.
_TIMED = ("seconds", "checksum", "made_from")
_LOCKS = (".lock",)


@dataclass(frozen=True)
class Job:
    """A command to kill.

    Attributes:
        name: what it is called.
        run: runs it, and writes into the folder that it is given.
    """

    name: str
    run: Callable[[Path], None]


def main() -> None:
    """Kill, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="commands whose names contain this text")
    parser.add_argument(
        "--at-operations",
        action="store_true",
        help="kill at file operations only, which every run reaches however fast it is",
    )
    parser.add_argument("--models", type=Path, help="a folder that benchmarks.tiny has filled")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        made = build(folder / "models") if given.models is None else Tiny.at(given.models.resolve())
        every = [job for job in jobs(made) if given.only in job.name]
        problems = kill_all(every, given.kills, given.seed, folder, given.at_operations)
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


def jobs(made: Tiny) -> list[Job]:
    """Return the commands that take long, and the jobs of a page."""
    models = ("--codec", made.codec, "--device", "cpu")
    training = ("--preset", "tiny", "--device", "cpu")
    data = ("--data", made.songs)
    return [
        Job("cache", lambda out: _cache(made, out)),
        _command("train-vqvae", *data, *training),
        _command("train-prior", "--codes", made.codes, *training),
        _command("train-bass-decoder", *data, "--codes", made.codes, *training, *models[:2]),
        _command("extract-codes", *data, *models),
        _command("make-dataset", "--songs", 3, "--seconds", 8),
        _command(
            *("generate-bass", "--song", made.mix, "--candidates", 2, "--prior", made.prior),
            *("--force", *models),
        ),
        Job("studio", lambda out: _studio(made, out)),
    ]


def _command(name: str, *arguments: object) -> Job:
    def run(out: Path) -> None:
        cli.app([name, *map(str, arguments), "--out", str(out)])

    return Job(name, run)


def _cache(made: Tiny, out: Path) -> None:
    build_cache(made.songs, out)


def _studio(made: Tiny, out: Path) -> None:
    """Open a song and make two takes, as the worker of a page does after a new start."""
    from stage2_prior.studio.opening import open_song
    from stage2_prior.studio.takes import make_take

    load: Any = partial(cli._load_band, made.codec, made.prior, None, "cpu")
    Store(out)  # a new start removes songs that were not opened
    session = out / ("u" * 30) / ("s" * 30)
    session.mkdir(parents=True, exist_ok=True)
    quiet = lambda step, done: None  # noqa: E731
    if not (session / "song.json").is_file():
        (session / "session.json").write_text("{}")
        upload = session / "upload"
        shutil.copy(made.mix, upload)
        open_song(OpenSong(session, upload, "mix", 60.0), load(), quiet)
    for number in (1, 2):
        if not (session / "takes" / str(number)).is_dir():
            make_take(MakeTake(session, number), load(), quiet)


def kill_all(
    every: Sequence[Job], kills: int, seed: int, folder: Path, at_operations: bool = False
) -> list[str]:
    """Kill each command as often as any other; return what does not hold.

    Args:
        every: the commands.
        kills: how often to kill.
        seed: of the times and file operations at which to kill.
        folder: where the commands write.
        at_operations: whether to kill at file operations only.
    """
    problems: list[str] = []
    counts: Counter[tuple[str, str]] = Counter()
    references = {}
    for job in every:
        out = folder / "reference" / job.name
        seconds, operations = _measure(job, out)
        references[job.name] = (out, seconds, operations)
        print(f"{job.name}: {seconds:.2f} s, {operations} file operations", flush=True)
    for number in range(kills):
        chance = random.Random(f"{seed} {number}")
        turn, place = divmod(number, len(every))
        job, kind = every[place], SIGNALS[(turn + place) % len(SIGNALS)]
        reference, seconds, operations = references[job.name]
        out = folder / "killed" / str(number)
        at: dict[str, Any] = {"seconds": chance.uniform(0, seconds)}
        if at_operations or chance.random() < 0.5:
            at = {"operation": chance.randrange(operations)}
        died = _run(job, out, kind, **at)
        counts[job.name, kind.name if died else "ended before"] += 1
        where = f"{job.name}, kill {number}, {kind.name} at {at}"
        found = [*check_parts(out, reference)]
        _make_old(out)
        code = _run(job, out)
        if code:
            found.append(f"the same command ended with exit code {code}")
        found += compare(out, reference)
        problems += [f"{where}: {what}" for what in found]
        print(f"{number + 1} of {kills}: {where}: {len(found)} problems", flush=True)
        shutil.rmtree(out, ignore_errors=True)
    kinds = [*(kind.name for kind in SIGNALS), "ended before"]
    print(f"| command | {' | '.join(kinds)} |\n|---|{'---:|' * len(kinds)}")
    for job in every:
        print(f"| {job.name} | {' | '.join(str(counts[job.name, kind]) for kind in kinds)} |")
    died_of = sum(n for (_, kind), n in counts.items() if kind != "ended before")
    print(f"{died_of} kills, {len(problems)} problems", flush=True)
    return problems


def _measure(job: Job, out: Path) -> tuple[float, int]:
    """Run a command to its end; return how long it takes, and how many file operations it does."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    began = time.monotonic()
    code = _run(job, out, counting=sending)
    if code:
        sys.exit(f"{job.name} ends with exit code {code}")
    return time.monotonic() - began, receiving.recv()


def _run(
    job: Job,
    out: Path,
    kind: signal.Signals | None = None,
    seconds: float | None = None,
    operation: int | None = None,
    counting: Any = None,
) -> int:
    """Run a command in a process, and kill it; return its exit code or minus its signal."""
    pid = os.fork()
    if pid == 0:
        _child(job, out, kind, operation, counting)
    if kind is not None and seconds is not None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, kind)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(
    job: Job, out: Path, kind: signal.Signals | None, operation: int | None, counting: Any
) -> None:
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in _EVENTS and _is_within(arguments[0], out):
            if count == operation and kind is not None:
                os.kill(os.getpid(), kind)
            count += 1

    sys.addaudithook(hook)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        if not os.environ.get("KILLS_DEBUG"):
            os.dup2(nothing.fileno(), 2)
    code = 0
    try:
        job.run(out)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 1
    if counting is not None:
        counting.send(count)
    os._exit(code)


def _is_within(name: Any, folder: Path) -> bool:
    return isinstance(name, str | bytes) and os.fsdecode(name).startswith(str(folder))


def _files(folder: Path) -> dict[str, Path]:
    """Return the files by their names within the folder, without locks."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _LOCKS
    }


def _is_temporary(name: str) -> bool:
    return ".unfinished" in name


def check_parts(out: Path, reference: Path) -> Iterator[str]:
    """Find files that have their name but are not whole."""
    whole = _files(reference)
    for name, path in _files(out).items():
        if _is_temporary(name) or name.endswith("/upload"):
            continue
        if name in whole and path.read_bytes() == whole[name].read_bytes():
            continue
        if name.endswith(".json") and _is_take(path):
            yield from _check_take(path)
        try:
            _read(path)
        except Exception as error:
            yield f"{name} is there but cannot be read ({error!r:.200})"


def _read(path: Path) -> None:
    if path.name.endswith(SUFFIX):
        SongCodes.load(path)
    elif path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
        if path.name == "model.safetensors" and not is_checkpoint(path):
            raise ValueError("it is no checkpoint")
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".npz":
        with np.load(path) as stored:
            [stored[name] for name in stored.files]
    elif path.suffix in (".wav", ".flac"):
        read_audio(path)
    elif path.suffix == ".i16" and path.with_suffix(".json").exists():
        # Without its JSON it does not count.
        expected = json.loads(path.with_suffix(".json").read_text())["bytes"]
        if path.stat().st_size != expected:
            raise ValueError("it is cut short")


def _is_take(path: Path) -> bool:
    try:
        return "sha256" in json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False


def _check_take(path: Path) -> Iterator[str]:
    """Check that the files of a take are those that its JSON names."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for kind, digest in content["sha256"].items():
        file = path.parent / content["files"][kind]
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            yield f"{path.name} is there, but its {kind} is not the one that it names"


def _make_old(out: Path) -> None:
    old = time.time() - _OLD
    for path in out.rglob("*"):
        if _is_temporary(path.name):
            os.utime(path, (old, old))


def compare(out: Path, reference: Path) -> Iterator[str]:
    """Find what differs between two folders."""
    found, expected = _files(out), _files(reference)
    for name in sorted(found.keys() - expected.keys()):
        yield f"{name} stays"
    for name in sorted(expected.keys() - found.keys()):
        yield f"{name} is missing"
    for name in sorted(found.keys() & expected.keys()):
        one, other = found[name], expected[name]
        if one.read_bytes() != other.read_bytes() and _content(one) != _content(other):
            yield f"{name} differs"


def _content(path: Path) -> Any:
    """Return the content of a file without the times in it."""
    if path.suffix == ".csv":
        return [line.split(",")[:2] for line in path.read_text().splitlines()]
    if path.name == "run.json":
        return "starts" in json.loads(path.read_text())  # one entry for each start
    if path.suffix in (".json", ".jsonl"):
        lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
        return [_without_times(json.loads(line)) for line in lines]
    if path.suffix == ".npz":
        with np.load(path) as stored:
            return {name: (stored[name].shape, stored[name].tobytes()) for name in stored.files}
    if path.name == "state.safetensors":
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118
            return tensors, _without_times(json.loads(file.metadata()["run"]))
    return path.read_bytes()


def _without_times(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_times(v) for k, v in value.items() if k not in _TIMED}
    return [*map(_without_times, value)] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
