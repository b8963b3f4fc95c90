"""One training loop for both stages, on Lightning Fabric.

A run is a pure function of its configuration: batch and noise of a step are derived from (seed, step),
never from what came before. So a resumed run ends with the same weights as an uninterrupted one, and
the state to keep is the weights, the optimisers' moments, the averaged weights and the step number.
"""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from shared.config import config_to_dict
from shared.console import err_console, progress
from shared.device import Device, resolve_device
from shared.errors import UserError, require
from shared.training.checkpoint import WEIGHTS_NAME, save_checkpoint
from shared.training.loader import BatchStream
from shared.training.optimizers import make_average, make_optimizers, set_learning_rate
from shared.training.settings import TrainSettings
from shared.training.state import (
    METRICS_NAME,
    STATE_NAME,
    Run,
    forget_after,
    load_state,
    log_figures,
    prepare_folder,
    save_state,
)


class Task(ABC):
    """What is trained: a model, its data and its loss."""

    stage: str
    model: nn.Module

    @abstractmethod
    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        """This process's share of the batch of a step: a pure function of its arguments."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Scalars to log; "loss" is the one to minimise. `model` is called, so that DDP and compile see it."""

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures on the validation split; "score" picks the best checkpoint, higher is better."""

    def headline(self, figures: dict[str, float]) -> str:
        """What the progress bar says of the last validation, beside the loss."""
        return f"score {figures['score']:.3f}"

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """What the checkpoint's JSON must hold to build the model again."""


def fit(
    task: Task,
    settings: TrainSettings,
    out: Path,
    resume: Literal["auto", "never"] = "never",
    device: Device = "auto",
) -> Path:
    """Train `task` and leave the best checkpoint in `out`; returns its path.

    `out` then holds `model.safetensors` and `model.json` (best validation score), `state.safetensors` and
    `state.json` (to resume from), and `metrics.jsonl` (one line per log and validation step).

    Raises:
        UserError: `out` already holds a run and `resume` is "never", or a run of other settings;
            training diverges.
        KeyboardInterrupt: after Ctrl-C, once the state is saved.
    """
    fabric = make_fabric(device, settings.precision)
    world, rank = fabric.world_size, fabric.global_rank
    require(
        settings.batch_size % world == 0,
        f"'train.batch_size' {settings.batch_size} must be a multiple of the {world} processes",
    )
    identity = {"train": config_to_dict(settings), **task.metadata()}
    run = Run(task.model, make_optimizers(task.model, settings), make_average(task.model, settings))
    run.model.to(fabric.device)
    if run.average is not None:
        run.average.to(fabric.device)
    prepare_folder(out, resume)
    if resume == "auto" and (out / STATE_NAME).is_file():
        load_state(out, run, identity)
        if rank == 0 and (out / METRICS_NAME).is_file():
            forget_after(out / METRICS_NAME, run.step)
    if settings.compile:
        run.model.compile()
    wrapped, *optimizers = fabric.setup(run.model, *run.optimizers)

    headline = ""
    started = time.monotonic() - run.seconds
    batches = BatchStream(
        lambda step: task.make_batch(step, rank, world), run.step, settings.steps, settings.workers
    )
    with (
        interruptible() as interrupted,
        progress(task.stage, settings.steps, run.step) as bar,
        (out / METRICS_NAME).open("a", encoding="utf-8") as log,
    ):
        for batch in batches:
            learning_rate = set_learning_rate(optimizers, settings, run.step)
            torch.manual_seed(settings.seed * 1_000_003 + run.step * 1_009 + rank)
            wrapped.train()
            losses = task.loss(wrapped, fabric.to_device(batch), run.step)
            if not losses["loss"].isfinite():
                raise UserError(
                    f"training diverged at step {run.step + 1} (loss {losses['loss'].item()}): "
                    "start again with a lower train.learning_rate"
                )
            fabric.backward(losses["loss"])
            for optimizer in optimizers:
                if settings.grad_clip > 0:
                    fabric.clip_gradients(
                        wrapped,
                        optimizer,
                        max_norm=settings.grad_clip,
                        error_if_nonfinite=False,  # 16-bit training skips such a step by itself
                    )
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            if run.average is not None:
                run.average.update_parameters(run.model)
            run.step += 1
            run.seconds = time.monotonic() - started

            bar.advance()
            if run.step % settings.log_every == 0 and rank == 0:
                figures = {name: value.item() for name, value in losses.items()}
                bar.note(f"loss {figures['loss']:.3f}{headline}")
                log_figures(log, run, "train", {**figures, "learning_rate": learning_rate})
            last = run.step == settings.steps
            stopping = fabric.broadcast(bool(interrupted))
            if rank == 0 and (last or run.step % settings.validate_every == 0):
                headline = f", {task.headline(_validate(task, run, out, log))}"
            if rank == 0 and (last or stopping or run.step % settings.validate_every == 0):
                save_state(out, run, identity)
            fabric.barrier()
            if stopping:
                batches.close()
                raise KeyboardInterrupt
    return out / WEIGHTS_NAME


def make_fabric(device: Device, precision: str = "32-true") -> Fabric:
    """A launched Fabric: one process, or as many as `torchrun` started.

    Raises:
        UserError: the device is not there.
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
    """Collect Ctrl-C and SIGTERM in a list instead of raising; a second Ctrl-C stops at once."""
    caught: list[int] = []

    def handle(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)
        err_console.print("stopping after this step; press Ctrl-C again to stop at once")

    try:
        previous = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: nothing to catch
        previous = {}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _validate(task: Task, run: Run, out: Path, log: Any) -> dict[str, float]:
    run.shipped.eval()
    with torch.no_grad():
        figures = task.validate(run.shipped)
    log_figures(log, run, "valid", figures)
    summary = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    err_console.print(f"step {run.step}: {summary}")
    if figures["score"] > run.best:
        run.best = figures["score"]
        meta = {"stage": task.stage, "step": run.step, "metrics": figures, **task.metadata()}
        # Half precision: what is measured later is then exactly what ships.
        weights = {name: tensor.half() for name, tensor in run.shipped.state_dict().items()}
        save_checkpoint(out / WEIGHTS_NAME, weights, meta)
    return figures
