"""A training task of milliseconds, and what the tests of training ask of a run folder."""

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.training.settings import TrainSettings
from shared.training.task import Task

SETTINGS = TrainSettings(
    steps=6, batch_size=4, learning_rate=0.05, warmup_steps=2, log_every=1, validate_every=2
)
AVERAGED = replace(SETTINGS, ema_decay=0.9)


class Regression(Task):
    """Fits a line to batches drawn from (step, index), with noise in the loss if asked for."""

    stage = "toy"

    def __init__(self, noise: float = 0.0, batch_size: int = 4) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        self.noise = noise
        self.batch_size = batch_size

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        rows = [
            torch.randn(3, generator=torch.Generator().manual_seed(1000 * step + index))
            for index in range(rank, self.batch_size, world)
        ]
        x = torch.stack(rows)
        return {"x": x, "y": x.sum(1, keepdim=True)}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        x = batch["x"] + self.noise * torch.randn_like(batch["x"])
        return {"loss": (model(x) - batch["y"]).square().mean()}

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        device = next(model.parameters()).device
        batch = {name: x.to(device) for name, x in self.make_batch(10**6, 0, 1).items()}
        return {"score": -(model(batch["x"]) - batch["y"]).square().mean().item()}

    def metadata(self) -> dict[str, object]:
        return {"config": {"noise": self.noise}}


class Interrupted(Regression):
    """Receives Ctrl-C while step `at` is computed."""

    def __init__(self, at: int, noise: float = 0.0) -> None:
        super().__init__(noise)
        self.at = at

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().loss(model, batch, step)


class Killed(Regression):
    """Dies before step `at`, without a chance to save."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        if step == self.at:
            raise MemoryError
        return super().make_batch(step, rank, world)


class Scored(Regression):
    """Its validations give these scores, one after another."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = list(scores)

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        return {"score": self.scores.pop(0) if at_most is None else math.nan}


def state(run: Path) -> dict[str, Tensor]:
    """The tensors of a run's state."""
    return load_file(run / "state.safetensors")


def header(run: Path) -> dict[str, Any]:
    """What the header of a run's state says.

    The time is left out, which no two runs share, and the checksum, which covers the time.
    """
    with safe_open(run / "state.safetensors", framework="pt") as file:
        content = json.loads(file.metadata()["run"])
    del content["seconds"], content["checksum"]
    return dict(content)


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def files(run: Path) -> list[str]:
    """The names of the files in a run folder."""
    return sorted(path.name for path in run.iterdir())


def assert_same_state(one: Path, other: Path) -> None:
    """Check that two runs are at the same step with the same weights, averages and moments."""
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert header(one) == header(other)
