"""Say at the start of a run what it will do, and after some steps how long it will take."""

from pathlib import Path

import torch
from rich.table import Table

from shared.console import err_console
from shared.device import computes_bf16_fast
from shared.disk_space import free_bytes, in_words, warn_of_space
from shared.training.settings import TrainSettings
from shared.training.state import Run
from shared.training.task import Task

_MEASURED_STEPS = 10


def announce(
    task: Task, run: Run, settings: TrainSettings, out: Path, device: torch.device, processes: int
) -> None:
    """Print the device, the size of the model, the data, the steps and the disk space of a run."""
    weights = [weight.numel() for weight in run.model.parameters()]
    need = expected_bytes(run, settings)
    table = Table.grid(padding=(0, 2))
    table.add_row("device", _device(device, processes, settings))
    table.add_row("parameters", f"{sum(weights) / 1e6:.2f} million")
    for name, size in task.splits().items():
        table.add_row(name, f"{_count(size.songs, 'song')}, {duration(size.seconds)}")
    done = f", {run.step} of them done" if run.step else ""
    table.add_row("steps", f"{settings.steps} with {settings.batch_size} examples each{done}")
    table.add_row("disk", f"{in_words(need)} of {in_words(free_bytes(out))} that are free")
    err_console.print(f"training {task.stage} into {out}")
    err_console.print(table)
    slow = settings.precision == "bf16-mixed" and not computes_bf16_fast(device)
    if slow and not run.step:  # a run that goes on keeps its settings
        err_console.print(
            "warning: this processor computes bf16 several times more slowly than float32: set the "
            f"'train.precision' of the {task.stage} to 32-true"
        )
    warn_of_space(out, need)


def expected_bytes(run: Run, settings: TrainSettings) -> int:
    """Estimate the bytes of a run's weights and state, including the copy while it is replaced."""
    exported = sum(tensor.numel() for tensor in run.shipped.state_dict().values())
    trained = sum(weight.numel() for weight in run.model.parameters() if weight.requires_grad)
    copies = 1 if run.average is None else 2
    state = 4 * (copies * exported + _moments(settings) * trained)
    kept = 0
    if settings.keep_every:
        kept = settings.steps // settings.keep_every
        kept = min(kept, settings.keep_last + 1) if settings.keep_last else kept
    return 2 * state + 2 * exported * (2 + kept)


class Pace:
    """Measures the first steps, and then says how long the rest will take."""

    def __init__(self, run: Run, steps: int) -> None:
        """Begin with the next step, which does not count, because it prepares much."""
        self._first = run.step + 1
        self._last = min(run.step + 1 + _MEASURED_STEPS, steps - 1)
        self._steps = steps
        self._begin = 0.0

    def watch(self, run: Run) -> None:
        """Look at the time that the finished steps took."""
        if run.step == self._first:
            self._begin = run.seconds
        if run.step == self._last and self._last > self._first:
            a_step = (run.seconds - self._begin) / (self._last - self._first)
            left = self._steps - run.step
            err_console.print(
                f"{a_step:.2g} s a step: {duration(left * a_step)} for "
                f"{_count(left, 'more step')}, validation not counted"
            )


def duration(seconds: float) -> str:
    """Write a length of time in words, such as "2.5 hours"."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _device(device: torch.device, processes: int, settings: TrainSettings) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    several = f", {processes} processes" if processes > 1 else ""
    if several and settings.sharded:
        several += " that divide the model"
    return f"{name}{threads}{several}, {settings.precision}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _moments(settings: TrainSettings) -> int:
    """Count the moments that an optimiser keeps of a weight; most weights have Muon if any has."""
    return 1 if settings.optimizer == "muon" else 2
