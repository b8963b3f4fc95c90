"""The state of a training run on disk: what is needed to resume it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from shared.atomic import atomic_path
from shared.errors import UserError
from shared.training.settings import CHANGE_NO_WEIGHTS

STATE_NAME = "state.safetensors"
METRICS_NAME = "metrics.jsonl"


@dataclass
class Run:
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


def log_figures(log: Any, run: Run, split: str, figures: dict[str, float]) -> None:
    finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    line = {"step": run.step, "split": split, "seconds": round(run.seconds, 1), **finite}
    log.write(json.dumps(line) + "\n")
    log.flush()


def forget_after(path: Path, step: int) -> None:
    """Drop the log lines of steps that a run killed between two savings will take again."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    with atomic_path(path) as temporary:
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        temporary.write_text("".join(kept), encoding="utf-8")


def prepare_folder(out: Path, resume: str) -> None:
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


def save_state(out: Path, run: Run, identity: dict[str, Any]) -> None:
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


def load_state(out: Path, run: Run, identity: dict[str, Any]) -> None:
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
