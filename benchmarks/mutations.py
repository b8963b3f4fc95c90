"""Put deliberate faults into the code, one at a time, and check that the tests notice each of them.

    python -m benchmarks.mutations                 # all faults of mutations.toml
    python -m benchmarks.mutations --only "clip"   # those whose name contains a text

A fault (a "mutation") replaces one piece of text in one file. The tree is copied to a temporary
folder, so the working tree is never touched. First the tests that are to notice the faults must
pass on the unchanged copy. Then, for each fault, its tests are run, and at least one must fail.
The exit code is 1 if a fault goes unnoticed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")
COPIED = (
    "README.md",
    "cli.py",
    "pyproject.toml",
    "shared",
    "stage1_vqvae",
    "stage2_prior",
    "tests",
    "benchmarks",
)
TIMEOUT = 300  # s; a fault that makes the tests of a file hang is noticed too
FAILED = 1  # pytest's exit code for failed tests; other codes are errors of the call itself


@dataclass(frozen=True)
class Mutation:
    """One deliberate fault.

    Attributes:
        name: what is wrong, in a few words.
        file: the path of the changed file, from the project's root.
        old: the text that is replaced. It must occur exactly once.
        new: its replacement.
        tests: the arguments that tell pytest which tests must notice the fault.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def mutated(self, root: Path) -> str:
        """Return the text of the file under `root` with the fault in it.

        Raises:
            ValueError: the text to replace does not occur exactly once, or nothing changes.
        """
        text = (root / self.file).read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1 or self.old == self.new:
            raise ValueError(f"'{self.name}': its text occurs {count} times in {self.file}")
        return text.replace(self.old, self.new)


def read_mutations(path: Path = LIST) -> tuple[Mutation, ...]:
    """Read the faults that the TOML file lists."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]
    return tuple(Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries)


def run_tests(
    root: Path, tests: tuple[str, ...], timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run some tests of the copy at `root`, up to the first failure.

    Tests that take more than `timeout` seconds count as failed.
    """
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",  # a changed file of equal size and time must not be missed
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, FAILED, "the tests took too long")


def is_noticed(root: Path, mutation: Mutation) -> bool:
    """Put a fault into the copy at `root`, run its tests, and return whether one of them fails."""
    file = root / mutation.file
    original = file.read_text(encoding="utf-8")
    file.write_text(mutation.mutated(root), encoding="utf-8")
    try:
        return run_tests(root, mutation.tests, TIMEOUT).returncode == FAILED
    finally:
        file.write_text(original, encoding="utf-8")


def main() -> int:
    """Put in one fault after the other; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="Run the faults whose name contains this text.")
    wanted = parser.parse_args().only.lower()
    mutations = [each for each in read_mutations() if wanted in each.name.lower()]
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        root = Path(folder)
        for name in COPIED:
            source, target = ROOT / name, root / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        tests = tuple(sorted({test for each in mutations for test in each.tests}))
        unchanged = run_tests(root, tests)
        if unchanged.returncode != 0:
            console.print(unchanged.stdout, markup=False)
            console.print("the tests fail without any fault: mend them first")
            return 1
        table = Table("fault", "file", "noticed", "s")
        unnoticed = 0
        for mutation in mutations:
            started = time.perf_counter()
            noticed = is_noticed(root, mutation)
            unnoticed += not noticed
            seconds = f"{time.perf_counter() - started:.0f}"
            table.add_row(mutation.name, mutation.file, "yes" if noticed else "NO", seconds)
            console.print(f"{mutation.name}: {'noticed' if noticed else 'NOT NOTICED'}")
        console.print(table)
        console.print(f"{len(mutations) - unnoticed} of {len(mutations)} faults were noticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
