"""Train either stage with one loop, on Lightning Fabric.

A run is a pure function of its configuration: the batch and the noise of a step are derived from
(seed, step), never from what came before. So a resumed run ends with the same weights as an
uninterrupted one, and the state to keep is that of `shared.training.state.Run`.
"""

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from torch import Tensor

from shared.console import err_console, progress
from shared.device import Device, resolve_device
from shared.errors import UserError, require
from shared.file_lock import sole_owner
from shared.processes import find_processes, mean_over_processes
from shared.training.announcement import Pace, announce
from shared.training.checkpoint import WEIGHTS_NAME, heal_checkpoint
from shared.training.exports import ensure_checkpoint, export_if_best, keep_step, keeps_step
from shared.training.item_noise import ItemNoise
from shared.training.loader import BatchStream
from shared.training.optimizers import make_average, make_optimizers, set_learning_rate
from shared.training.run_log import RunLog, require_tensorboard
from shared.training.run_record import record_start
from shared.training.settings import TrainSettings
from shared.training.sharding import sharded, sharding_strategy
from shared.training.state import (
    Run,
    find_best,
    load_state,
    make_folder,
    open_folder,
    run_identity,
    save_state,
)
from shared.training.task import Task, with_sums

LOCK_NAME = ".lock"  # is in the folder of a run while it is trained, and names the process
TRIED_EXAMPLES = 2  # of validation, before the first step


def fit(
    task: Task,
    settings: TrainSettings,
    out: Path,
    resume: Literal["auto", "never"] = "never",
    device: Device = "auto",
) -> Path:
    """Train `task` and leave the best checkpoint in `out`; return its path.

    `out` then holds `model.safetensors` and `model.json` (the best validation score),
    `state.safetensors` (to resume from), `metrics.jsonl` (a line per log and validation step) and
    the same as a table in `metrics.csv`, and `run.json` (how it was made). Settings add `steps/`
    (the weights of every N-th step) and `tensorboard/`. Where no validation gave a finite score,
    the checkpoint has the last weights.

    Raises:
        UserError: `out` already holds a run and `resume` is "never", or it holds a run of other
            settings, or one that another process is training, or a finished one without its
            weights; or the disk is full; or training diverges.
        KeyboardInterrupt: after Ctrl-C, once the state is saved.
    """
    fabric = make_fabric(device, settings.precision, settings.sharded)
    shares = fabric.world_size * settings.accumulate
    require(
        settings.batch_size % shares == 0,
        f"'train.batch_size' must be a multiple of {shares}, which is {fabric.world_size} "
        f"processes times {settings.accumulate} accumulated parts, not {settings.batch_size}",
    )
    if settings.tensorboard:
        require_tensorboard()
    make_folder(out)
    with _sole_training(out, fabric):
        return _train(task, settings, fabric, out, resume)


def _train(task: Task, settings: TrainSettings, fabric: Fabric, out: Path, resume: str) -> Path:
    """Begin or continue the run in `out`, and train to its end; see `fit`."""
    identity = run_identity(settings, task.identity())
    run = _start(task, settings, fabric, out, resume, identity)
    if not run.finished(settings):
        _take_steps(task, run, settings, fabric, out, identity)
    if fabric.global_rank == 0:
        ensure_checkpoint(task, run, out)
    if run.whole is not None:
        task.model = run.whole
    fabric.barrier()
    return out / WEIGHTS_NAME


def _take_steps(
    task: Task,
    run: Run,
    settings: TrainSettings,
    fabric: Fabric,
    out: Path,
    identity: Mapping[str, Any],
) -> None:
    """Take the steps that are left, unless Ctrl-C or a lack of progress stops them."""
    first = fabric.global_rank == 0
    if first:
        announce(task, run, settings, out, fabric.device, fabric.world_size)
        if run.step == 0:
            _try_validation(task, run, fabric)
    save_state(out, run, identity)  # from now on the folder holds a run that can be continued
    if first:
        _record(run, settings, fabric, out, identity)
    model = fabric.setup_module(run.model)
    optimizers = [fabric.setup_optimizers(optimizer) for optimizer in run.optimizers]

    headline = ""
    pace = Pace(run, settings.steps)
    began = time.monotonic() - run.seconds
    with (
        _log(out, run, settings, fabric) as log,
        interruptible() as interrupted,
        _batches(task, settings, run.step, fabric) as batches,
        progress(task.stage, settings.steps, run.step) as bar,
    ):
        for shares in batches:
            rate = set_learning_rate(run.optimizers, settings, run.step)
            losses = _compute_gradients(task, model, fabric, settings, shares, run.step)
            _update_weights(fabric, model, optimizers, settings.grad_clip)
            run.finish_step(time.monotonic() - began)
            bar.advance()

            stopping = fabric.broadcast(bool(interrupted))
            validating = run.step % settings.validate_every == 0 or run.step == settings.steps
            logging = run.step % settings.log_every == 0
            if validating or keeps_step(run, settings):
                run.gather()
            if logging:
                losses = {name: mean_over_processes(value) for name, value in losses.items()}
            if log is not None:
                pace.watch(run)
                if logging:
                    logged = {name: value.item() for name, value in losses.items()}
                    log.add(run.step, "train", run.seconds, {**logged, "learning_rate": rate})
                    bar.note(f"loss {logged['loss']:.3f}{headline}")
                figures: dict[str, float] = {}
                if validating:
                    figures = _validate(task, run, log, fabric)
                    export_if_best(task, run, out, figures)
                    headline = f", {task.headline(figures)}"
                keep_step(task, run, out, settings, figures)
                if validating or stopping:
                    log.save()  # the log is never behind the state
            if validating or stopping:
                save_state(out, run, identity)
            if validating:
                run.waited = fabric.broadcast(run.waited)
            fabric.barrier()
            if stopping:
                raise KeyboardInterrupt
            if run.finished(settings):
                break
    if first and run.step < settings.steps:
        err_console.print(
            f"stopped at step {run.step}: {run.waited} validations gave no better score "
            "('train.patience')"
        )


def make_fabric(device: Device, precision: str = "32-true", sharded: bool = False) -> Fabric:
    """Launch Fabric for one process, or for as many as `torchrun` or Slurm's `srun` started.

    Args:
        device: what to compute on.
        precision: the setting.
        sharded: whether several processes divide a model, instead of each having a copy.

    Raises:
        UserError: the device is not available.
    """
    processes = find_processes()
    several = processes.world > 1
    fabric = Fabric(
        accelerator=resolve_device(device).type,
        devices=processes.local_world,
        num_nodes=max(1, processes.world // processes.local_world),
        strategy=_strategy(several, sharded),
        precision=precision,  # type: ignore[arg-type]
        plugins=[TorchElasticEnvironment()] if several else None,
    )
    fabric.launch()
    return fabric


def _strategy(several: bool, sharded: bool) -> Any:
    if several and sharded:
        return sharding_strategy()
    return "ddp" if several else "auto"


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
    """Begin a new run, or load the one in `out`."""
    whole, average = None, make_average(task.model, settings)
    if settings.sharded and fabric.world_size > 1:
        whole = task.model
        task.model = sharded(whole, fabric.device)
        if average is not None:
            average.module = sharded(average.module, fabric.device)
    model = task.model
    for module in filter(None, (model, average)):
        module.to(fabric.device)
    optimizers = make_optimizers(model, settings)
    run = Run(model, optimizers, average, fabric.strategy.precision, whole=whole)
    resuming = open_folder(out, resume)
    fabric.barrier()  # every process has looked into the folder before the first one writes there
    if resuming:
        load_state(out, run, identity)
        if fabric.global_rank == 0:
            heal_checkpoint(out / WEIGHTS_NAME)
        fabric.barrier()  # every process has read the state
        find_best(out, run, settings)
    run.gather()
    if settings.compile:
        model.compile()
    return run


def _log(
    out: Path, run: Run, settings: TrainSettings, fabric: Fabric
) -> AbstractContextManager[RunLog | None]:
    """Open the log; only the first of several processes writes it."""
    if fabric.global_rank > 0:
        return nullcontext()
    return closing(RunLog(out, run.step, settings.tensorboard))


def _record(
    run: Run, settings: TrainSettings, fabric: Fabric, out: Path, identity: Mapping[str, Any]
) -> None:
    details = {
        "step": run.step,
        "device": str(fabric.device),
        "processes": fabric.world_size,
        "settings": identity,
    }
    record_start(out, details)


def _batches(
    task: Task, settings: TrainSettings, start: int, fabric: Fabric
) -> BatchStream[dict[int, dict[str, Tensor]]]:
    """Make the batches of the steps that are left: this process's shares by their numbers."""
    world = fabric.world_size
    count = world * settings.accumulate
    numbers = range(fabric.global_rank, count, world)
    return BatchStream(
        lambda step: {number: task.make_batch(step, number, count) for number in numbers},
        start,
        settings.steps,
        settings.workers,
    )


def _compute_gradients(
    task: Task,
    model: Any,
    fabric: Fabric,
    settings: TrainSettings,
    shares: Mapping[int, dict[str, Tensor]],
    step: int,
) -> dict[str, Tensor]:
    """Add up the gradients of the shares of a batch; return their mean losses.

    The noise belongs to the examples, and the shares divide by sums over the whole batch, so that
    several processes compute together what one process computes.
    """
    parts = []
    last = max(shares)
    count = fabric.world_size * settings.accumulate
    batches = {number: fabric.to_device(share) for number, share in shares.items()}
    sums = _whole_sums(task, list(batches.values())) if count > 1 else {}
    for number, batch in batches.items():
        torch.manual_seed(settings.seed * 1_000_003 + step * 1_009 + number)
        with (
            fabric.no_backward_sync(model, enabled=number != last),
            _noise(settings, step, range(number, settings.batch_size, count)),
        ):
            losses = task.loss(model.train(), with_sums(batch, sums), step)
        with fabric.no_backward_sync(model, enabled=number != last):
            _refuse_divergence(losses["loss"], step)
            fabric.backward(losses["loss"] / len(shares))
        parts.append({name: value.detach() for name, value in losses.items()})
    return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}


def _noise(settings: TrainSettings, step: int, items: range) -> AbstractContextManager[Any]:
    """Draw random numbers for each example by itself, which a compiled model cannot do."""
    return nullcontext() if settings.compile else ItemNoise(settings.seed, step, items)


def _whole_sums(task: Task, shares: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average what the losses divide by over all shares of a step, also of other processes."""
    with torch.no_grad():
        sums = [task.sums(share) for share in shares]
    return {
        name: mean_over_processes(torch.stack([each[name] for each in sums]).mean(0))
        for name in sums[0]
    }


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


def _validate(task: Task, run: Run, log: RunLog, fabric: Fabric) -> dict[str, float]:
    """Validate the weights, and log and print the figures."""
    with run.validating(fabric.device) as model:
        figures = task.validate(model)
        log.add(run.step, "valid", run.seconds, figures)
        if log.has_board:
            log.play(run.step, task.sounds(model))
    summary = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    err_console.print(f"step {run.step}: {summary}")
    return figures


def _try_validation(task: Task, run: Run, fabric: Fabric) -> None:
    """Validate on a few examples, so that what would stop the first validation stops the start."""
    with run.validating(fabric.device) as model:
        task.validate(model, at_most=TRIED_EXAMPLES)
