"""The training loop does what a loop written out in PyTorch does, and keeps the best weights."""

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shared.device import resolve_device
from shared.errors import UserError
from shared.training.checkpoint import load_checkpoint
from shared.training.item_noise import ItemNoise
from shared.training.loop import fit
from shared.training.settings import TrainSettings
from tests.launching import run_with_torchrun
from tests.toy_task import (
    AVERAGED,
    SETTINGS,
    Interrupted,
    Regression,
    Scored,
    assert_same_state,
    files,
    metrics,
    state,
)


class Diverging(Regression):
    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        losses = super().loss(model, batch, step)
        return {"loss": losses["loss"] * (float("nan") if step == 2 else 1)}


class Watched(Regression):
    """Notes in which mode the model is when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[tuple[object, ...]] = []
        self.validated: list[tuple[object, ...]] = []

    def _mode(self, model: nn.Module) -> tuple[object, ...]:
        (inner,) = (m for m in model.modules() if isinstance(m, nn.Sequential))
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
        return inner.training, torch.is_grad_enabled(), kind

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        inner = next(m for m in model.modules() if isinstance(m, nn.Sequential))
        hook = inner.register_forward_pre_hook(
            lambda module, inputs: self.trained.append(self._mode(model))
        )
        losses = super().loss(model, batch, step)
        hook.remove()
        return losses

    def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
        self.validated.append(self._mode(model))
        return super().validate(model, at_most)


def plain_loop(settings: TrainSettings) -> dict[str, Tensor]:
    """What `fit` computes with AdamW, written out: the weights and their average."""
    task = Regression(noise=0.1)
    matrices, vectors = ([p for p in task.model.parameters() if p.ndim == n] for n in (2, 1))
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=settings.betas)
    average: dict[str, Tensor] = {}
    for step in range(settings.steps):
        warm = min(1, (step + 1) / settings.warmup_steps)
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * step / settings.steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * warm * cosine
        optimizer.zero_grad()
        with ItemNoise(settings.seed, step, range(4)):
            loss = task.loss(task.model, task.make_batch(step, 0, 1), step)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(task.model.parameters(), settings.grad_clip)
        optimizer.step()
        decay = min(settings.ema_decay, (1 + step) / (10 + step)) if step else 0.0
        for name, weight in task.model.state_dict().items():
            average[name] = decay * average.get(name, weight) + (1 - decay) * weight
    return {
        **{f"model.{name}": weight for name, weight in task.model.state_dict().items()},
        **{f"average.module.{name}": weight for name, weight in average.items()},
    }


@pytest.mark.parametrize(
    "changes", [{}, {"seed": 3}, {"grad_clip": 0.05}, {"weight_decay": 1.0, "betas": (0.5, 0.7)}]
)
def test_fit_is_the_loop_written_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = replace(AVERAGED, ema_decay=0.15, **changes)
    fit(Regression(noise=0.1), settings, tmp_path, device="cpu")
    expected, found = plain_loop(settings), state(tmp_path)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_run_leaves_exactly_these_files(tmp_path: Path) -> None:
    path = fit(Regression(), SETTINGS, tmp_path / "run", device="cpu")
    assert path == tmp_path / "run" / "model.safetensors"
    assert files(path.parent) == [
        "metrics.csv",
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
        "run.json",
        "state.safetensors",
    ]
    lines = metrics(path.parent)
    assert [line["step"] for line in lines if line["split"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if line["split"] == "valid"] == [2, 4, 6]
    best = max((line for line in lines if line["split"] == "valid"), key=lambda line: line["score"])
    meta = load_checkpoint(path, "toy").meta
    assert (meta["step"], meta["metrics"]["score"]) == (best["step"], best["score"])
    assert meta["config"] == {"noise": 0.0}


def test_the_log_has_the_rates_of_the_schedule(tmp_path: Path) -> None:
    settings = replace(SETTINGS, schedule="constant", warmup_steps=4, log_every=2)
    fit(Regression(), settings, tmp_path, device="cpu")
    rates = {m["step"]: m["learning_rate"] for m in metrics(tmp_path) if m["split"] == "train"}
    assert rates == pytest.approx({2: 0.025, 4: 0.05, 6: 0.05})


def test_the_bar_shows_the_loss_and_the_last_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr("shared.console.ProgressBar.note", lambda bar, text: notes.append(text))
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    lines = metrics(tmp_path)
    losses = [line["loss"] for line in lines if line["split"] == "train"]
    scores = [line["score"] for line in lines if line["split"] == "valid"]
    assert notes[1] == f"loss {losses[1]:.3f}"
    assert notes[2] == f"loss {losses[2]:.3f}, score {scores[0]:.3f}"
    assert notes[5] == f"loss {losses[5]:.3f}, score {scores[1]:.3f}"


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_the_loss_falls(tmp_path: Path, optimizer: Any) -> None:
    settings = replace(SETTINGS, steps=100, validate_every=100, optimizer=optimizer)
    fit(Regression(), settings, tmp_path, device="cpu")
    losses = [line["loss"] for line in metrics(tmp_path) if line["split"] == "train"]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_checkpoint_has_the_averaged_weights_or_else_the_live_ones(
    tmp_path: Path, ema_decay: float
) -> None:
    fit(Scored(1, 2, 3), replace(SETTINGS, ema_decay=ema_decay), tmp_path, device="cpu")
    weights, saved = load_checkpoint(tmp_path, "toy").weights, state(tmp_path)
    prefix = "average.module." if ema_decay else "model."
    assert len(weights) == 4
    for name, weight in weights.items():
        assert weight.dtype == torch.float16
        assert torch.equal(weight, saved[f"{prefix}{name}"].half())
        assert ema_decay == 0 or not torch.equal(weight, saved[f"model.{name}"].half())


def test_validation_is_of_the_averaged_weights(tmp_path: Path) -> None:
    fit(Regression(), AVERAGED, tmp_path, device="cpu")
    task = Regression()
    scores = []
    for prefix in ("average.module.", "model."):
        saved = {k.removeprefix(prefix): v for k, v in state(tmp_path).items() if prefix in k}
        task.model.load_state_dict(saved)
        scores.append(task.validate(task.model)["score"])
    assert metrics(tmp_path)[-1]["score"] == pytest.approx(scores[0])
    assert abs(scores[0] - scores[1]) > 1e-4


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ((1.0, 3.0, 2.0), 4),
        ((3.0, 3.0, 2.0), 2),
        ((math.nan, 1.0, math.nan), 4),
        ((math.inf, 1.0, 2.0), 6),
        ((-math.inf, -5.0, -6.0), 4),
    ],
)
def test_the_weights_with_the_best_finite_score_are_kept(
    tmp_path: Path, scores: tuple[float, ...], kept: int
) -> None:
    path = fit(Scored(*scores), SETTINGS, tmp_path, device="cpu")
    meta = load_checkpoint(path, "toy").meta
    assert (meta["step"], meta["metrics"]) == (kept, {"score": scores[kept // 2 - 1]})


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_without_a_finite_score_the_last_weights_are_kept(
    tmp_path: Path, score: float, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fit(Scored(score, score, score), SETTINGS, tmp_path, device="cpu")
    assert "warning: no finite validation score: keeping the last weights" in (
        capsys.readouterr().err
    )
    checkpoint = load_checkpoint(path, "toy")
    assert (checkpoint.meta["step"], checkpoint.meta["metrics"]) == (6, {})
    for name, tensor in checkpoint.weights.items():
        assert torch.equal(tensor, state(tmp_path)[f"average.module.{name}"].half())
    assert [m["score"] for m in metrics(tmp_path) if m["split"] == "valid"] == [None] * 3


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("grad_clip", [0.0, 1e-3])
def test_gradients_are_clipped(tmp_path: Path, grad_clip: float, optimizer: Any) -> None:
    """After one step Adam's first moment is (1 - beta) times the gradient, and Muon's alike."""
    settings = replace(SETTINGS, steps=1, grad_clip=grad_clip, optimizer=optimizer)
    fit(Regression(), settings, tmp_path, device="cpu")
    norms = []
    for number, moment, share in ((0, "exp_avg", 1 - 0.9), (1, "momentum_buffer", 1 - 0.95)):
        gradients = [
            tensor.flatten() / share
            for name, tensor in state(tmp_path).items()
            if name.startswith(f"optimizer.{number}.") and name.endswith(moment)
        ]
        if gradients:
            norms.append(torch.cat(gradients).norm().item())
    assert len(norms) == (2 if optimizer == "muon" else 1)
    if grad_clip:
        assert norms == pytest.approx([grad_clip] * len(norms), rel=1e-2)
    else:
        assert min(norms) > 0.01


@pytest.mark.parametrize(("precision", "kind"), [("32-true", None), ("bf16-mixed", torch.bfloat16)])
def test_modes_and_precision(tmp_path: Path, precision: Any, kind: torch.dtype | None) -> None:
    task = Watched()
    fit(task, replace(SETTINGS, precision=precision, ema_decay=0.0), tmp_path, device="cpu")
    assert task.trained == [(True, True, kind)] * 6
    assert task.validated == [(False, False, None)] * 4


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_bf16_on_a_processor_that_is_slow_at_it_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fast: bool,
    precision: Any,
) -> None:
    monkeypatch.setattr("shared.training.announcement.computes_bf16_fast", lambda device: fast)
    fit(Regression(), replace(SETTINGS, steps=1, precision=precision), tmp_path, device="cpu")
    warned = "'train.precision' of the toy to 32-true" in " ".join(capsys.readouterr().err.split())
    assert warned == (precision == "bf16-mixed" and not fast)


def test_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    for compile in (False, True):
        task = Regression()
        settings = replace(SETTINGS, steps=1, compile=compile)
        fit(task, settings, tmp_path / str(compile), device="cpu")
        assert compiled == ([task.model] if compile else [])


def test_a_batch_that_the_processes_cannot_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_fabric.Fabric.world_size", property(lambda fabric: 3))
    with pytest.raises(
        UserError, match=r"'train.batch_size' must be a multiple of 3, which is 3 proc.*not 4"
    ):
        fit(Regression(), SETTINGS, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_ctrl_c_works_again_after_training(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    fit(Regression(), replace(SETTINGS, steps=1), tmp_path, device="cpu")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    class Impatient(Interrupted):
        reached_the_end = False

        def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
            os.kill(os.getpid(), signal.SIGTERM)
            losses = super().loss(model, batch, step)
            self.reached_the_end = True
            return losses

    task = Impatient(at=0)
    with pytest.raises(KeyboardInterrupt):
        fit(task, SETTINGS, tmp_path, device="cpu")
    assert not task.reached_the_end


def test_divergence_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"diverged at step 3 \(loss nan\)"):
        fit(Diverging(), SETTINGS, tmp_path, device="cpu")
    assert all(tensor.isfinite().all() for tensor in state(tmp_path).values())  # of step 2


def test_devices() -> None:
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(UserError, match="device 'tpu' is not available"):
        resolve_device("tpu")


KINDS = ("json", "safetensors")
TWO_PROCESSES = """
import json, os, sys, torch
from dataclasses import replace
from pathlib import Path
from tests.toy_task import *
from shared.training.loop import fit

out, rank = Path(sys.argv[1]), os.environ["RANK"]

class Noting(Interrupted):
    def loss(self, model, batch, step):
        losses = super().loss(model, batch, step)
        note = {"rows": batch["x"].tolist(), "noise": torch.rand(1).item()}
        (out / f"note-{step}-{rank}.json").write_text(json.dumps(note))
        return losses

try:
    fit(Noting(at=2), SETTINGS, out / "run", resume="never", device="cpu")
except KeyboardInterrupt:
    fit(Noting(at=-1), SETTINGS, out / "run", resume="auto", device="cpu")

class Divided(Interrupted):
    def loss(self, model, batch, step):
        weight = self.model[0].weight
        assert (weight.shape, weight.to_local().shape) == ((8, 3), (4, 3))
        return super().loss(model, batch, step)

for optimizer in ("adamw", "muon"):
    settings = replace(AVERAGED, optimizer=optimizer, sharded=True, accumulate=2, keep_every=3)
    run = out / optimizer
    task = Divided(at=2)
    try:
        fit(task, settings, run, resume="never", device="cpu")
    except KeyboardInterrupt:
        task = Divided(at=-1)
        whole = task.model
        fit(task, replace(settings, workers=2), run, resume="auto", device="cpu")
        assert task.model is whole  # is itself again
"""


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    """Two processes of torchrun, stopped and resumed, end with the weights of one uninterrupted."""
    fit(Regression(), SETTINGS, tmp_path / "one", device="cpu")
    (tmp_path / "run.py").write_text(TWO_PROCESSES)
    finished = run_with_torchrun(tmp_path / "run.py", tmp_path)
    assert finished.returncode == 0, finished.stderr
    one, two = state(tmp_path / "one"), state(tmp_path / "run")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6)
    lines = [(m["step"], m["split"]) for m in metrics(tmp_path / "run")]
    assert lines == [(m["step"], m["split"]) for m in metrics(tmp_path / "one")]
    for step in range(SETTINGS.steps):
        notes = [json.loads((tmp_path / f"note-{step}-{rank}.json").read_text()) for rank in (0, 1)]
        rows = [row for pair in zip(*(note["rows"] for note in notes), strict=True) for row in pair]
        assert torch.equal(torch.tensor(rows), Regression().make_batch(step, 0, 1)["x"])
        assert notes[0]["noise"] != notes[1]["noise"]
    for optimizer in ("adamw", "muon"):
        run = tmp_path / optimizer
        settings = replace(AVERAGED, optimizer=optimizer, accumulate=2)
        fit(Regression(), settings, tmp_path / f"one-{optimizer}", device="cpu")
        check_sharded(tmp_path / f"one-{optimizer}", run)
        assert files(run / "steps") == [f"00000000{n}.{kind}" for n in (3, 6) for kind in KINDS]
        # One process continues what several have divided.
        longer = replace(settings, steps=7, sharded=True)
        fit(Regression(), longer, run, resume="auto", device="cpu")


def check_sharded(one: Path, sharded: Path) -> None:
    """A divided run leaves what any other leaves."""
    whole, gathered = state(one), state(sharded)
    assert whole.keys() == gathered.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(gathered[name], tensor, rtol=1e-4, atol=1e-5)
    shipped, other = (load_checkpoint(run, "toy") for run in (one, sharded))
    assert other.meta["metrics"] == pytest.approx(shipped.meta["metrics"], abs=1e-3)
    last = load_checkpoint(sharded / "steps" / "000000006.safetensors", "toy").weights
    for name, tensor in whole.items():
        if name.startswith("average.module."):
            own = last[name.removeprefix("average.module.")]
            torch.testing.assert_close(own, tensor.half(), rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "muon"}, {"precision": "16-mixed"}, {"precision": "bf16-mixed"}]
)
def test_a_run_is_resumed_on_a_gpu(tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **changes)
    fit(Regression(noise=0.1), settings, tmp_path / "whole", device="cuda")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2, noise=0.1), settings, tmp_path / "cut", device="cuda")
    fit(Regression(noise=0.1), settings, tmp_path / "cut", resume="auto", device="cuda")
    assert_same_state(tmp_path / "whole", tmp_path / "cut")
