"""Keep the state of a training run on disk: all that is needed to resume it.

`state.safetensors` holds the weights, the moving average and the optimisers' moments, and in its
header a JSON object with everything else and a checksum of all of it. It is one file so that no
kill can separate the two.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import Precision
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from shared.atomic import atomic_path, full_disk_said
from shared.config_text import flatten
from shared.console import err_console
from shared.errors import UserError, require
from shared.folders import require_no_file_in_the_way
from shared.processes import find_processes
from shared.training.checkpoint import (
    WEIGHTS_NAME,
    TensorFile,
    is_checkpoint,
    tensor_bytes,
)
from shared.training.run_log import METRICS_NAME
from shared.training.settings import MAY_CHANGE, TrainSettings
from shared.training.sharding import gather, part_like

FORMAT = 2
STATE_NAME = "state.safetensors"
_HEADER = "run"  # the key of the JSON object in the file's header


@dataclass
class Run:
    """A run holds everything that changes while training, and hence all that is saved to resume.

    `precision` holds the gradient scaler of 16-bit training. `step` counts the finished steps,
    `best` is the highest finite validation score so far, `waited` counts the validations since, and
    `seconds` is the time spent training. `whole` is the task's own model where `model` is a divided
    copy of it (shared/training/sharding.py).
    """

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    average: AveragedModel | None
    precision: Precision
    step: int = 0
    best: float | None = None
    waited: int = 0
    seconds: float = 0.0
    whole: nn.Module | None = None

    @property
    def shipped(self) -> nn.Module:
        """The weights to validate and export: the averaged ones where averaging is on.

        Where they are divided, they are those of the last `gather`, in the first process only.
        """
        return self._trained if self.whole is None else self.whole

    @property
    def _trained(self) -> nn.Module:
        return self.model if self.average is None else self.average.module

    def gather(self) -> None:
        """Bring the weights to validate and export together where they are divided.

        All processes must call this.
        """
        if self.whole is not None:
            weights = gather(self._trained.state_dict())
            if weights:
                self.whole.load_state_dict(weights)

    @contextmanager
    def validating(self, device: torch.device) -> Iterator[nn.Module]:
        """Lend the weights to validate, on the device, where a whole copy is only for this time."""
        model = self.shipped.to(device).eval()
        with torch.no_grad():
            yield model
        if self.whole is not None:
            self.whole.cpu()

    def finished(self, settings: TrainSettings) -> bool:
        """Whether no step is left, or too many validations in a row gave no better score."""
        return self.step >= settings.steps or 0 < settings.patience <= self.waited

    def finish_step(self, seconds: float) -> None:
        """Add the weights to the average and count the step, `seconds` after the run began."""
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        self.seconds = seconds


def run_identity(settings: TrainSettings, task: Mapping[str, Any]) -> dict[str, Any]:
    """List what a resumed run must have in common with its beginning, by dotted names.

    `task` is the task's part of it; it may repeat the settings under "config.".
    """
    return flatten(json.loads(json.dumps({"train": asdict(settings), **task})))


def make_folder(out: Path) -> None:
    """Make the run folder, if need be.

    Raises:
        UserError: it cannot be made.
    """
    require_no_file_in_the_way(out)
    try:
        with full_disk_said(out.parent):
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {out} ({error.strerror}): choose another --out"
        ) from error


def open_folder(out: Path, resume: str) -> bool:
    """Look into the run folder; return whether it holds a run that is to be continued.

    Raises:
        UserError: it holds a run, but `resume` is "never"; it holds a run without its state; or it
            cannot be read.
    """
    try:
        found = {path.name for path in out.iterdir()}
    except OSError as error:
        raise UserError(f"cannot read {out} ({error.strerror}): choose another --out") from error
    if STATE_NAME in found:
        require(
            resume == "auto",
            f"{out} already holds a training run: continue it with --resume auto, or choose "
            "another --out",
        )
        return True
    for name in (WEIGHTS_NAME, Path(WEIGHTS_NAME).with_suffix(".json").name, METRICS_NAME):
        require(
            name not in found,
            f"{out} holds {name} of a run, but no {STATE_NAME} to continue from: "
            "choose another --out",
        )
    return False


def save_state(out: Path, run: Run, identity: Mapping[str, Any]) -> None:
    """Write the state of `run` into its folder.

    All processes must call this; the first one writes.

    Raises:
        UserError: the disk is full.
    """
    tensors = {f"model.{k}": v for k, v in run.model.state_dict().items()}
    if run.average is not None:
        tensors |= {f"average.{k}": v for k, v in run.average.state_dict().items()}
    for number, optimizer in enumerate(run.optimizers):
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{index}.{k}": v for k, v in moments.items()}
    tensors = gather(tensors)
    if find_processes().rank > 0:
        return
    header: dict[str, Any] = {
        "format": FORMAT,
        "step": run.step,
        "best": run.best,
        "waited": run.waited,
        "seconds": run.seconds,
        "precision": run.precision.state_dict(),
        "identity": identity,
    }
    header["checksum"] = _checksum(header, tensors)
    with atomic_path(out / STATE_NAME) as temporary:
        # save_file would write a temporary file of its own, which stays where it is killed.
        temporary.write_bytes(save(tensors, {_HEADER: json.dumps(header)}))


def load_state(out: Path, run: Run, identity: Mapping[str, Any]) -> None:
    """Bring `run` to where it was saved; its weights and moments stay on their device.

    Raises:
        UserError: the state is damaged, was written by another version, or belongs to a run with
            another identity.
    """
    path = out / STATE_NAME
    advice = f"choose another --out; --init-from {out} starts from the run's best weights"
    try:
        file = TensorFile.read(path)
        header = json.loads(file.header.get(_HEADER, "{}"))
    except (SafetensorError, ValueError, RecursionError, OSError) as error:
        raise UserError(f"the training state {path} is damaged ({error}): {advice}") from error
    require(
        isinstance(header, dict) and header.get("format") == FORMAT,
        f"the training state {path} was written by another version of this program: {advice}",
    )
    # The first states of this format have no checksum.
    require(
        "checksum" not in header or header["checksum"] == _checksum(header, file.tensors),
        f"the training state {path} is damaged (its checksum is wrong): {advice}",
    )
    try:
        _refuse_changes(out, header["identity"], identity)
        _restore(run, header, file.tensors)
    except (
        *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError),
    ) as error:
        raise UserError(f"the training state {path} does not fit this model: {advice}") from error


def find_best(out: Path, run: Run, settings: TrainSettings) -> None:
    """Let a resumed run know whether its best weights are still there.

    Raises:
        UserError: they are gone, and the run is finished, so that no validation will write them
            again.
    """
    if run.best is None or is_checkpoint(out / WEIGHTS_NAME):
        return
    require(
        not run.finished(settings),
        f"the run in {out} is finished, but its {WEIGHTS_NAME} is gone or damaged: "
        "put it back, or train again with another --out",
    )
    err_console.print(
        f"warning: {WEIGHTS_NAME} is gone or damaged: the next validation writes it again"
    )
    run.best = None


def _refuse_changes(out: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse other settings than those of the beginning; more steps are no other setting."""
    # A setting that did not exist when the run was started had the effect of its default. Nothing
    # is known of other things that it did not record.
    old = {f"train.{name}": value for name, value in asdict(TrainSettings()).items()} | {**old}
    before, now = old["train.steps"], new["train.steps"]
    names = (old.keys() | new.keys()) - MAY_CHANGE - ({"train.steps"} if now > before else set())
    changed = sorted(name for name in names if name in old and old[name] != new.get(name))
    require(
        not changed,
        f"{out} was started with other settings ({', '.join(changed)}): "
        "give the same ones, or choose another --out",
    )
    if now > before:
        err_console.print(
            f"{out} goes on to step {now} instead of {before}: from here on, its schedule is that "
            f"of a run of {now} steps"
        )


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Compute a digest of everything in a state but the digest itself."""
    rest = {name: value for name, value in header.items() if name != "checksum"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def _restore(run: Run, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Put a state into `run`; an error of any common type where it does not fit."""
    _load(run.model, _strip(tensors, "model."))
    if run.average is not None:
        _load(run.average, _strip(tensors, "average."))
    for number, optimizer in enumerate(run.optimizers):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _strip(tensors, f"optimizer.{number}.").items():
            index, _, key = name.partition(".")
            weight = weights[int(index)]
            if tensor.ndim > 0 and tensor.shape != weight.shape:
                raise ValueError(f"{name} is {list(tensor.shape)}, unlike its weight")
            if key != "step":  # which is a number
                tensor = part_like(tensor, weight)
            moments.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    run.precision.load_state_dict(header["precision"])
    run.step, run.seconds = int(header["step"]), float(header["seconds"])
    run.best = None if header["best"] is None else float(header["best"])
    run.waited = int(header.get("waited", 0))  # older states lack it


def _load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put whole tensors into a module, which may be divided."""
    own = module.state_dict()
    module.load_state_dict({name: part_like(value, own[name]) for name, value in tensors.items()})


def _strip(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
