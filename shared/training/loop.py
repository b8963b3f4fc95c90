"""Train either stage with one loop, on Lightning Fabric.

A run is a pure function of its configuration: the batch and the noise of a step are derived from
(seed, step), never from what came before. So a resumed run ends with the same weights as an
uninterrupted one, and the state to keep is that of `shared.training.state.Run`.
"""

import math
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from shared.console import err_console, progress
from shared.device import Device, resolve_device
from shared.errors import UserError, require
from shared.file_lock import sole_owner
from shared.training.checkpoint import WEIGHTS_NAME, heal_checkpoint, save_checkpoint
from shared.training.loader import BatchStream
from shared.training.optimizers import make_average, make_optimizers, set_learning_rate
from shared.training.settings import TrainSettings
from shared.training.state import (
    Run,
    find_best,
    forget_after,
    load_state,
    log_figures,
    make_folder,
    open_folder,
    run_identity,
    save_state,
)

LOCK_NAME = ".lock"  # is in the folder of a run while it is trained, and names the process


class Task(ABC):
    """A task is what a run trains: a model, its data and its loss."""

    stage: str
    model: nn.Module

    @abstractmethod
    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """Make the share of process `rank` of `world` in the batch of a step.

        The result must be a pure function of the arguments.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Compute scalars to log; the one named "loss" is minimised.

        `model` is `self.model`, perhaps wrapped for several processes. Call only this one.
        """

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Compute figures on the validation split.

        The checkpoint with the highest finite "score" is kept.
        """

    def headline(self, figures: dict[str, float]) -> str:
        """Return the text that the progress bar shows about the last validation."""
        return f"score {figures['score']:.3f}"

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """Return what the checkpoint's JSON must hold to build and use the model again."""

    def identity(self) -> dict[str, Any]:
        """Return what a resumed run must have in common with its beginning, as nested dicts.

        The training settings are added to it. By default it is the metadata.
        """
        return self.metadata()


def fit(
    task: Task,
    settings: TrainSettings,
    out: Path,
    resume: Literal["auto", "never"] = "never",
    device: Device = "auto",
) -> Path:
    """Train `task` and leave the best checkpoint in `out`; return its path.

    `out` then holds `model.safetensors` and `model.json` (the best validation score),
    `state.safetensors` (to resume from), and `metrics.jsonl` (a line per log and validation step).
    Where no validation gave a finite score, the checkpoint has the last weights.

    Raises:
        UserError: `out` already holds a run and `resume` is "never", or it holds a run of other
            settings, or one that another process is training, or a finished one without its
            weights; or the disk is full; or training diverges.
        KeyboardInterrupt: after Ctrl-C, once the state is saved.
    """
    fabric = make_fabric(device, settings.precision)
    require(
        settings.batch_size % fabric.world_size == 0,
        f"'train.batch_size' must be a multiple of the {fabric.world_size} processes, "
        f"not {settings.batch_size}",
    )
    make_folder(out)
    with _sole_training(out, fabric):
        return _train(task, settings, fabric, out, resume)


def _train(task: Task, settings: TrainSettings, fabric: Fabric, out: Path, resume: str) -> Path:
    """Begin or continue the run in `out`, and train to its end; see `fit`."""
    rank, world = fabric.global_rank, fabric.world_size
    identity = run_identity(settings, task.identity())
    run = _start(task, settings, fabric, out, resume, identity)
    model, *optimizers = fabric.setup(run.model, *run.optimizers)

    headline = ""
    began = time.monotonic() - run.seconds
    with (
        interruptible() as interrupted,
        _batches(task, settings, run.step, rank, world) as batches,
        progress(task.stage, settings.steps, run.step) as bar,
    ):
        for batch in batches:
            rate = set_learning_rate(optimizers, settings, run.step)
            torch.manual_seed(settings.seed * 1_000_003 + run.step * 1_009 + rank)
            losses = task.loss(model.train(), fabric.to_device(batch), run.step)
            _refuse_divergence(losses["loss"], run.step)
            fabric.backward(losses["loss"])
            _update_weights(fabric, model, optimizers, settings.grad_clip)
            run.finish_step(time.monotonic() - began)
            bar.advance()

            stopping = fabric.broadcast(bool(interrupted))
            validating = run.step % settings.validate_every == 0 or run.step == settings.steps
            if rank == 0 and run.step % settings.log_every == 0:
                loss = _log_losses(out, run, losses, rate)
                bar.note(f"loss {loss:.3f}{headline}")
            if rank == 0 and validating:
                headline = f", {task.headline(_validate(task, run, out))}"
            if rank == 0 and (validating or stopping):
                save_state(out, run, identity)
            fabric.barrier()
            if stopping:
                raise KeyboardInterrupt
    if rank == 0:
        _ensure_checkpoint(task, run, out)
    fabric.barrier()
    return out / WEIGHTS_NAME


def make_fabric(device: Device, precision: str = "32-true") -> Fabric:
    """Launch Fabric for one process, or for as many as `torchrun` started.

    Raises:
        UserError: the device is not available.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    accelerator = resolve_device(device).type
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=max(1, world // local),
        strategy="ddp" if world > 1 else "auto",
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list instead of raising; a second signal stops at once."""
    caught: list[int] = []

    def handle(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)
        err_console.print("stopping after this step; press Ctrl-C again to stop at once")

    try:
        previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread receives signals
        previous = {}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _sole_training(out: Path, fabric: Fabric) -> AbstractContextManager[None]:
    """Keep other runs out of the folder; the first of several processes does it for all."""
    if fabric.global_rank > 0:
        return nullcontext()
    return sole_owner(out / LOCK_NAME, f"{out} is being trained", "choose another --out")


def _start(
    task: Task,
    settings: TrainSettings,
    fabric: Fabric,
    out: Path,
    resume: str,
    identity: Mapping[str, Any],
) -> Run:
    """Begin a new run, whose state is saved at once, or load the one in `out`."""
    model, average = task.model, make_average(task.model, settings)
    run = Run(model, make_optimizers(model, settings), average, fabric.strategy.precision)
    for module in filter(None, (model, average)):
        module.to(fabric.device)
    resuming = open_folder(out, resume)
    fabric.barrier()  # every process has looked into the folder before the first one writes there
    if resuming:
        load_state(out, run, identity)
        if fabric.global_rank == 0:
            heal_checkpoint(out / WEIGHTS_NAME)
        fabric.barrier()  # every process has read the state
        find_best(out, run, settings.steps)
    if fabric.global_rank == 0:
        forget_after(out, run.step)
        save_state(out, run, identity)  # from now on the folder holds a run that can be continued
    if settings.compile:
        model.compile()
    return run


def _batches(
    task: Task, settings: TrainSettings, start: int, rank: int, world: int
) -> BatchStream[dict[str, Tensor]]:
    """Make the batches of the steps that are left."""
    return BatchStream(
        lambda step: task.make_batch(step, rank, world), start, settings.steps, settings.workers
    )


def _refuse_divergence(loss: Tensor, step: int) -> None:
    if not loss.isfinite():
        raise UserError(
            f"training diverged at step {step + 1} (loss {loss.item()}): "
            "start again with a lower train.learning_rate"
        )


def _update_weights(
    fabric: Fabric, model: Any, optimizers: Sequence[Any], largest_norm: float
) -> None:
    """Take a step of each optimiser, with the gradient of its own weights clipped."""
    for optimizer in optimizers:
        if largest_norm > 0:
            fabric.clip_gradients(
                model,
                optimizer,
                max_norm=largest_norm,
                error_if_nonfinite=False,  # 16-bit training skips such a step by itself
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _log_losses(out: Path, run: Run, losses: Mapping[str, Tensor], rate: float) -> float:
    """Log the losses of a step and its learning rate; return the loss that is minimised."""
    figures = {name: value.item() for name, value in losses.items()}
    log_figures(out, run, "train", {**figures, "learning_rate": rate})
    return figures["loss"]


def _validate(task: Task, run: Run, out: Path) -> dict[str, float]:
    """Validate the weights, log and print the figures, and export the weights if they are best."""
    run.shipped.eval()
    with torch.no_grad():
        figures = task.validate(run.shipped)
    log_figures(out, run, "valid", figures)
    summary = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    err_console.print(f"step {run.step}: {summary}")
    score = float(figures["score"])
    if math.isfinite(score) and (run.best is None or score > run.best):
        run.best = score
        _export(task, run, out, figures)
    return figures


def _ensure_checkpoint(task: Task, run: Run, out: Path) -> None:
    """Export the last weights where no validation has exported any."""
    if run.best is None and not (out / WEIGHTS_NAME).is_file():
        err_console.print("warning: no finite validation score: keeping the last weights")
        _export(task, run, out, {})


def _export(task: Task, run: Run, out: Path, figures: Mapping[str, float]) -> None:
    meta = {"stage": task.stage, "step": run.step, "metrics": figures, **task.metadata()}
    # Half precision: what is measured later is then exactly what ships.
    weights = {name: tensor.half() for name, tensor in run.shipped.state_dict().items()}
    save_checkpoint(out / WEIGHTS_NAME, weights, meta)
