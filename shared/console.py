"""Print to the terminal: results on one console, progress and errors on another."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Names of files may hold brackets, which are no markup.
console = Console(highlight=False, markup=False, soft_wrap=True)
err_console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


class ProgressBar:
    """A progress bar shows the steps that are done, and a note after them."""

    def __init__(self, progress: Progress, description: str, total: int, completed: int) -> None:
        """Add a bar to rich's `progress`."""
        self._progress = progress
        self._task = progress.add_task(description, total=total, completed=completed, note="")

    def advance(self, amount: int = 1) -> None:
        """Count `amount` more steps as done."""
        self._progress.advance(self._task, amount)

    def note(self, text: str) -> None:
        """Show `text` after the bar."""
        self._progress.update(self._task, note=text)


@contextmanager
def progress(description: str, total: int, completed: int = 0) -> Iterator[ProgressBar]:
    """Show a progress bar with the count, the time spent and the time left on stderr.

    Nothing is shown where stderr is not a terminal.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(
        *columns, console=err_console, disable=not err_console.is_terminal, refresh_per_second=4
    ) as bar:
        yield ProgressBar(bar, description, total, completed)
