"""Export the weights of a run: the best ones, and those of every N-th step.

Both are checkpoints as `shared.training.checkpoint` writes them.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from shared.console import err_console
from shared.training.checkpoint import WEIGHTS_NAME, save_checkpoint
from shared.training.settings import TrainSettings
from shared.training.state import Run
from shared.training.task import Task

STEPS_FOLDER = "steps"


def export_if_best(task: Task, run: Run, out: Path, figures: Mapping[str, float]) -> None:
    """Export the weights if their score is the best so far, and count the others."""
    score = float(figures["score"])
    if math.isfinite(score) and (run.best is None or score > run.best):
        run.best, run.waited = score, 0
        export(task, run, out / WEIGHTS_NAME, figures)
    else:
        run.waited += 1


def ensure_checkpoint(task: Task, run: Run, out: Path) -> None:
    """Export the last weights where no validation has exported any."""
    if run.best is None and not (out / WEIGHTS_NAME).is_file():
        err_console.print("warning: no finite validation score: keeping the last weights")
        export(task, run, out / WEIGHTS_NAME, {})


def keeps_step(run: Run, settings: TrainSettings) -> bool:
    """Whether the weights of the finished step are kept."""
    return settings.keep_every > 0 and run.step % settings.keep_every == 0


def keep_step(
    task: Task, run: Run, out: Path, settings: TrainSettings, figures: Mapping[str, float]
) -> None:
    """Export the weights of every `keep_every`-th step, and delete all but the last `keep_last`."""
    if not keeps_step(run, settings):
        return
    folder = out / STEPS_FOLDER
    export(task, run, folder / f"{run.step:09d}.safetensors", figures)
    kept = sorted(folder.glob("*.safetensors"))
    for old in kept[: -settings.keep_last] if settings.keep_last else []:
        old.unlink()
        old.with_suffix(".json").unlink(missing_ok=True)


def export(task: Task, run: Run, path: Path, figures: Mapping[str, float]) -> None:
    """Write the weights to validate and use into a checkpoint."""
    meta = {"stage": task.stage, "step": run.step, "metrics": figures, **task.metadata()}
    # Half precision: what is measured later is then exactly what ships.
    weights = {name: tensor.half() for name, tensor in run.shipped.state_dict().items()}
    save_checkpoint(path, weights, meta)
