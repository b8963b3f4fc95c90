"""Log the figures of a run: a line of JSON each, a table of all of them, and TensorBoard.

`metrics.jsonl` is the log. `metrics.csv` is a table of its content, for spreadsheets and pandas,
which is written anew at each validation.
"""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shared.atomic import atomic_path, flush, full_disk_said
from shared.errors import UserError
from shared.json_files import jsonable
from shared.training.task import Sound

METRICS_NAME = "metrics.jsonl"
TABLE_NAME = "metrics.csv"
BOARD_NAME = "tensorboard"
_WINDOW = 2048  # samples, of a spectrum in a picture


class RunLog:
    """The log in the folder of a run, from a step on."""

    def __init__(self, out: Path, step: int, tensorboard: bool = False) -> None:
        """Drop what was logged of steps after `step`, because these will be taken again.

        Raises:
            UserError: TensorBoard is asked for, but is not installed.
        """
        self._out = out
        self._board = _open_board(out / BOARD_NAME, step) if tensorboard else None
        self._forget_after(step)

    @property
    def has_board(self) -> bool:
        """Whether TensorBoard is on."""
        return self._board is not None

    def add(self, step: int, split: str, seconds: float, figures: Mapping[str, float]) -> None:
        """Append the figures of a step, `seconds` after the run began."""
        line = {"step": step, "split": split, "seconds": round(seconds, 1), **figures}
        with full_disk_said(self._out), self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(jsonable(line)) + "\n")
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(f"{split}/{name}", value, step)

    def play(self, step: int, sounds: Mapping[str, Sound]) -> None:
        """Add sounds, and pictures of their spectra, to TensorBoard."""
        if self._board is not None:
            for name, sound in sounds.items():
                mono = torch.from_numpy(sound.samples).mean(0)
                self._board.add_audio(name, mono[None], step, sound.sample_rate)
                self._board.add_image(name, _picture(mono), step)

    def save(self) -> None:
        """Wait until all lines are on the disk, and write the table."""
        if not self._path.is_file():
            return
        flush(self._path)
        lines = [json.loads(line) for line in self._path.read_bytes().splitlines()]
        with (
            atomic_path(self._out / TABLE_NAME) as temporary,
            temporary.open("w", encoding="utf-8", errors="replace", newline="") as file,
        ):
            table = csv.DictWriter(
                file, list(dict.fromkeys(name for line in lines for name in line))
            )
            table.writeheader()
            table.writerows(lines)
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()

    @property
    def _path(self) -> Path:
        return self._out / METRICS_NAME

    def _forget_after(self, step: int) -> None:
        """Drop the lines of later steps, and damaged lines."""
        if self._path.is_file():
            lines = self._path.read_bytes().splitlines(keepends=True)
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(b"".join(line for line in lines if _step_of(line) <= step))


def require_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises:
        UserError: it is not.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise UserError(
            "TensorBoard is not installed: run pip install '.[tensorboard]', or leave "
            "'train.tensorboard' out"
        ) from error


def _open_board(folder: Path, step: int) -> Any:
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)


def _picture(samples: Tensor) -> Tensor:
    """Draw the magnitudes of samples `[N]` as a grey image `[1, frequencies, frames]`, 80 dB deep.

    Frequencies rise to a quarter of the sample rate.
    """
    window = torch.hann_window(_WINDOW)
    spectrum = torch.stft(samples, _WINDOW, window=window, return_complex=True).abs()
    decibels = (
        20 * (spectrum[: _WINDOW // 4] / spectrum.max().clamp_min(1e-9)).clamp_min(1e-9).log10()
    )
    return (1 + decibels / 80).clamp(0, 1).flip(0)[None]


def _step_of(line: bytes) -> float:
    """Return the step of a log line, or infinity where the line is damaged."""
    try:
        return int(json.loads(line)["step"]) if line.endswith(b"\n") else math.inf
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return math.inf
