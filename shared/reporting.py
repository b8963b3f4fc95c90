"""How a command that works on songs reports: a bar, lines, JSON, or only the files.

Progress goes to stderr, and files go to stdout. This module is loaded before all that takes long to
load, so that something is seen at once.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from shared.console import err_console
from shared.errors import UserError
from shared.estimate import Estimate, Step
from shared.short_names import short_names

UPDATES = 8  # of the bar in a second


@dataclass(frozen=True)
class Result:
    """What came out of a song.

    Attributes:
        song: the song.
        files: the files that were written, by kind.
        rows: what is said of it in the terminal: a subject, and a text that may have several lines.
        facts: what programs are told of it.
    """

    song: Path
    files: Mapping[str, Path]
    rows: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Reporter:
    """Reports nothing but the files."""

    def __init__(self, estimate: Estimate) -> None:
        """Follow a job with an estimate of its time."""
        self.estimate = estimate
        self.names: dict[Path, str] = {}
        self.song: Path | None = None

    def expect(self, songs: Sequence[Path]) -> None:
        """Say which songs there are. `names` are then what they are called, briefly."""
        self.names = dict(zip(songs, short_names([song.parts for song in songs], "/"), strict=True))
        self.estimate.expect(len(songs))

    @property
    def title(self) -> str | None:
        """What the song is called; None where there is only one."""
        return None if self.song is None or len(self.names) < 2 else self.names[self.song]

    def begin_song(self, song: Path) -> None:
        """Say that a song begins."""
        self.song = song
        self.estimate.begin_song()

    def step(self, name: str, song_seconds: float | None = None) -> None:
        """Say that a step begins, and how long the song is, if that is known."""
        self.estimate.begin(name, song_seconds)

    def result(self, result: Result) -> None:
        """Report what came out of a song."""
        for path in result.files.values():
            print(path, flush=True)

    def note(self, text: str) -> None:
        """Say something about the whole."""

    def failed(self, song: Path, error: str) -> None:
        """Report why a song failed that others follow."""
        err_console.print(f"error: {song}: {error}", markup=False)

    def table(self, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show what came out of all songs."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show progress while the body runs."""
        yield


class LineReporter(Reporter):
    """Writes one line for each step, for logs."""

    def step(self, name: str, song_seconds: float | None = None) -> None:
        """Say that a step begins."""
        super().step(name, song_seconds)
        song = "" if self.title is None else f"{self.title}: "
        err_console.print(f"{song}{name}", markup=False)

    def result(self, result: Result) -> None:
        """Report what came out of a song, and its files."""
        if result.rows:
            err_console.print(rows_table(result.rows))
        super().result(result)

    def note(self, text: str) -> None:
        """Say something about the whole."""
        err_console.print(text, markup=False)

    def table(self, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show what came out of all songs."""
        table = Table(*heading)
        for row in rows:
            table.add_row(*map(Text, row))
        err_console.print(table)


class BarReporter(LineReporter):
    """Shows a bar with the step, the time that has passed, and the time left."""

    def __init__(self, estimate: Estimate) -> None:
        """Make a bar, which is shown while `running`."""
        super().__init__(estimate)
        self._name = ""
        self._live = Live(
            get_renderable=self._render,
            console=err_console,
            refresh_per_second=UPDATES,
            transient=True,
            redirect_stdout=False,
        )

    def step(self, name: str, song_seconds: float | None = None) -> None:
        """Say that a step begins."""
        Reporter.step(self, name, song_seconds)
        self._name = name

    def result(self, result: Result) -> None:
        """Report what came out of a song, without the bar, which may share a terminal with it."""
        with self._hidden():
            super().result(result)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the bar while the body runs."""
        with self._live:
            yield

    @contextmanager
    def _hidden(self) -> Iterator[None]:
        self._live.stop()
        yield
        self._live.start()

    def _render(self) -> Group:
        share, left = self.estimate.share, self.estimate.left
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(f"{self._name:<18}"),
            ProgressBar(total=1.0, completed=share, width=24),
            Text(f"{share:4.0%}"),
            Text(f"{_clock(self.estimate.elapsed)}, about {_clock(left)} left"),
        )
        if self.title is None:
            return Group(line)
        return Group(Text(self.title, overflow="ellipsis", no_wrap=True), line)


class JsonReporter(Reporter):
    """Writes one JSON object a line to stdout for everything that happens."""

    def step(self, name: str, song_seconds: float | None = None) -> None:
        """Say that a step begins, with the share that is done and the seconds left."""
        super().step(name, song_seconds)
        share, left = round(self.estimate.share, 3), round(self.estimate.left, 1)
        self._print("step", song=self.song, step=name, done=share, seconds_left=left)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Report also a mistake of the user that ends everything."""
        try:
            yield
        except UserError as error:
            self._print("failed", song=self.song, error=str(error))
            raise

    def result(self, result: Result) -> None:
        """Report what came out of a song."""
        self._print("result", song=result.song, files=result.files, **result.facts)

    def note(self, text: str) -> None:
        """Say something about the whole."""
        self._print("note", text=text)

    def failed(self, song: Path, error: str) -> None:
        """Report why a song failed."""
        self._print("failed", song=song, error=error)

    def _print(self, event: str, **content: Any) -> None:
        from shared.json_files import jsonable  # It loads numpy, for which nobody has to wait here.

        print(json.dumps(jsonable({"event": event, **content})), flush=True)


@contextmanager
def reporting(
    once: Sequence[Step], each: Sequence[Step], quiet: bool = False, as_json: bool = False
) -> Iterator[Reporter]:
    """Show progress while the body runs.

    Args:
        once: the steps before the first song.
        each: the steps of each song.
        quiet: whether only the files are reported.
        as_json: whether everything is reported as JSON, one object a line.

    Raises:
        UserError: both are wanted.
    """
    if quiet and as_json:
        raise UserError("--quiet and --json exclude each other: give one of them")
    by_default = BarReporter if err_console.is_terminal else LineReporter
    reporter = (JsonReporter if as_json else Reporter if quiet else by_default)(
        Estimate(once, each)
    )
    with reporter.running():
        yield reporter


def rows_table(rows: Mapping[str, str]) -> Table:
    """Lay rows out in two columns: the subject, and what is said of it."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for subject, text in rows.items():
        table.add_row(subject, Text(text))  # chord symbols are no markup
    return table


def _clock(seconds: float) -> str:
    """Write a duration as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
