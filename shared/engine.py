"""One training loop for both stages, on Lightning Fabric.

A run is a pure function of its configuration: batch and noise of a step are derived from (seed, step), never from
what came before, so a resumed run ends with the same weights as an uninterrupted one, and the state to
keep is weights, optimizer moments, averaged weights and the number of the step.
"""

import json
import math
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from shared.atomic import atomic_path
from shared.checkpoint import WEIGHTS_NAME, save_checkpoint
from shared.config import config_to_dict, require
from shared.console import err_console, progress
from shared.errors import UserError
from shared.loader import BatchStream

STATE_NAME = "state.safetensors"
METRICS_NAME = "metrics.jsonl"
Device = Literal["auto", "cpu", "cuda", "mps"]
TensorList = tuple[Tensor, ...] | list[Tensor]
CHANGE_NO_WEIGHTS = ("train.workers", "train.log_every")  # so a resumed run may change them


@dataclass(frozen=True)
class TrainSettings:
    """How long and how to optimise; the loss and the data are the task's."""

    steps: int = 1000
    batch_size: int = 8  # over all processes
    optimizer: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = 100
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    grad_clip: float = 1.0  # 0 = off
    ema_decay: float = 0.999  # 0 = off
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    log_every: int = 20
    validate_every: int = 500
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        require(self.steps >= 1, "'train.steps' must be at least 1")
        require(self.batch_size >= 1, "'train.batch_size' must be at least 1")
        require(self.learning_rate > 0, "'train.learning_rate' must be above 0")
        require(
            not (self.optimizer == "muon" and self.precision == "16-mixed"),
            # Its gradient scaler serves one optimizer only.
            "'train.optimizer=muon' cannot train in 16-mixed: set 'train.precision=bf16-mixed'",
        )
        require(0 <= self.ema_decay < 1, "'train.ema_decay' must be in [0, 1)")
        require(self.log_every >= 1, "'train.log_every' must be at least 1")
        require(self.validate_every >= 1, "'train.validate_every' must be at least 1")
        require(self.workers >= 1, "'train.workers' must be at least 1")


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


@dataclass
class _Run:
    """Everything that changes while training, and hence everything that is saved to resume."""

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    average: AveragedModel | None
    step: int = 0
    best: float = -math.inf
    seconds: float = 0.0

    @property
    def shipped(self) -> nn.Module:
        """The weights to validate and export: the averaged ones where averaging is on."""
        return self.model if self.average is None else self.average.module


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
    run = _Run(
        task.model, make_optimizers(task.model, settings), make_average(task.model, settings)
    )
    run.model.to(fabric.device)
    if run.average is not None:
        run.average.to(fabric.device)
    _prepare_folder(out, resume)
    if resume == "auto" and (out / STATE_NAME).is_file():
        _load_state(out, run, identity)
        if rank == 0 and (out / METRICS_NAME).is_file():
            _forget_after(out / METRICS_NAME, run.step)
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
                _log(log, run, "train", {**figures, "learning_rate": learning_rate})
            last = run.step == settings.steps
            stopping = fabric.broadcast(bool(interrupted))
            if rank == 0 and (last or run.step % settings.validate_every == 0):
                headline = f", {task.headline(_validate(task, run, out, log))}"
            if rank == 0 and (last or stopping or run.step % settings.validate_every == 0):
                _save_state(out, run, identity)
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


def resolve_device(device: str) -> torch.device:
    """The torch device of `auto`, `cpu`, `cuda` or `mps`; auto takes the fastest that is there.

    Raises:
        UserError: an unknown device, or one that this machine or this build of torch lacks.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, available in there.items() if available)
    if not there.get(device, False):
        raise UserError(f"the device '{device}' is not available here: use --device auto")
    return torch.device(device)


def make_optimizers(model: nn.Module, settings: TrainSettings) -> list[torch.optim.Optimizer]:
    """Adam or AdamW alone, or Muon (Jordan et al., 2024) beside an AdamW.

    Weight decay spares vectors (biases, norms, scales) and embeddings. Muon takes the matrices but
    embeddings and layers named "head", whose outputs leave the network; its steps are scaled to
    the size of AdamW's, so that one learning rate serves both. `grad_clip` holds for each apart.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    hidden: list[nn.Parameter] = []
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or id(parameter) in embeddings:
            spared.append(parameter)
        elif settings.optimizer == "muon" and parameter.ndim == 2 and "head.weight" not in name:
            hidden.append(parameter)
        else:
            decayed.append(parameter)
    rate, decay = settings.learning_rate, settings.weight_decay
    groups = [
        {"params": decayed, "weight_decay": decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    optimizers: list[torch.optim.Optimizer] = [
        kind([g for g in groups if g["params"]], lr=rate, betas=settings.betas)
    ]
    if hidden:
        optimizers.append(
            torch.optim.Muon(hidden, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


def make_average(model: nn.Module, settings: TrainSettings) -> AveragedModel | None:
    """The exponential moving average of the weights, or None where it is off.

    The decay grows with the steps as (1 + n) / (10 + n) up to its setting, so that a short run is not an
    average of its random start.
    """
    if settings.ema_decay == 0:
        return None

    def update(averaged: TensorList, current: TensorList, count: Tensor | int) -> None:
        number = int(count)
        decay = min(settings.ema_decay, (1 + number) / (10 + number))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    return AveragedModel(model, multi_avg_fn=update)


def set_learning_rate(
    optimizers: Sequence[torch.optim.Optimizer], settings: TrainSettings, step: int
) -> float:
    """Linear warm-up, then constant or a cosine down to a hundredth; returns the rate of this step."""
    rate = settings.learning_rate * min(1.0, (step + 1) / max(1, settings.warmup_steps))
    if settings.schedule == "cosine":
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate


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


def _validate(task: Task, run: _Run, out: Path, log: Any) -> dict[str, float]:
    run.shipped.eval()
    with torch.no_grad():
        figures = task.validate(run.shipped)
    _log(log, run, "valid", figures)
    summary = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    err_console.print(f"step {run.step}: {summary}")
    if figures["score"] > run.best:
        run.best = figures["score"]
        meta = {"stage": task.stage, "step": run.step, "metrics": figures, **task.metadata()}
        # Half precision: what is measured later is then exactly what ships.
        weights = {name: tensor.half() for name, tensor in run.shipped.state_dict().items()}
        save_checkpoint(out / WEIGHTS_NAME, weights, meta)
    return figures


def _log(log: Any, run: _Run, split: str, figures: dict[str, float]) -> None:
    finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    line = {"step": run.step, "split": split, "seconds": round(run.seconds, 1), **finite}
    log.write(json.dumps(line) + "\n")
    log.flush()


def _forget_after(path: Path, step: int) -> None:
    """Drop the log lines of steps that a run killed between two savings will take again."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    with atomic_path(path) as temporary:
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        temporary.write_text("".join(kept), encoding="utf-8")


def _prepare_folder(out: Path, resume: str) -> None:
    if resume == "never" and (out / STATE_NAME).is_file():
        raise UserError(
            f"{out} already holds a training run: continue it with --resume auto, or choose another --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {out} ({error.strerror}): choose another --out"
        ) from error


def _save_state(out: Path, run: _Run, identity: dict[str, Any]) -> None:
    tensors = {f"model.{k}": v for k, v in run.model.state_dict().items()}
    if run.average is not None:
        tensors |= {f"average.{k}": v for k, v in run.average.state_dict().items()}
    for number, optimizer in enumerate(run.optimizers):
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{index}.{k}": v for k, v in moments.items()}
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    progress_made = {"step": run.step, "best": run.best, "seconds": run.seconds}
    with atomic_path(out / STATE_NAME) as temporary:
        save_file(tensors, temporary, metadata={k: repr(v) for k, v in progress_made.items()})
    with atomic_path(out / "state.json") as temporary:
        temporary.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")


def _load_state(out: Path, run: _Run, identity: dict[str, Any]) -> None:
    """Bring `run` to where it was saved; its weights, and with them the moments, stay on their device."""
    from safetensors import safe_open

    stored = json.loads((out / "state.json").read_text(encoding="utf-8"))
    different = _differences(stored, json.loads(json.dumps(identity)))
    changed = [name for name in different if not name.endswith(CHANGE_NO_WEIGHTS)]
    if changed:
        raise UserError(
            f"{out} was started with other settings ({', '.join(changed)}): "
            "give the same ones, or choose another --out"
        )
    tensors = load_file(out / STATE_NAME)
    run.model.load_state_dict(_strip(tensors, "model."))
    if run.average is not None:
        run.average.load_state_dict(_strip(tensors, "average."))
    for number, optimizer in enumerate(run.optimizers):
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _strip(tensors, f"optimizer.{number}.").items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    with safe_open(out / STATE_NAME, framework="pt") as file:
        made = file.metadata()
    run.step, run.best, run.seconds = int(made["step"]), float(made["best"]), float(made["seconds"])


def _strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [d for k in keys for d in _differences(old.get(k), new.get(k), f"{where}{k}.")]
    return [] if old == new else [where.rstrip(".")]
