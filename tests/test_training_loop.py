"""The training loop: the same weights however a run is cut up, and loud failure otherwise."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.device import resolve_device
from shared.errors import UserError
from shared.training.checkpoint import load_checkpoint
from shared.training.loop import Task, fit
from shared.training.optimizers import make_average, make_optimizers, set_learning_rate
from shared.training.settings import TrainSettings

SETTINGS = TrainSettings(
    steps=6, batch_size=4, learning_rate=0.05, warmup_steps=2, log_every=1, validate_every=2
)


class Regression(Task):
    """Fits a line to batches drawn from (step, index); noise in the loss stands for Gumbel noise."""

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

    def validate(self, model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        batch = {name: x.to(device) for name, x in self.make_batch(10**6, 0, 1).items()}
        return {"score": -(model(batch["x"]) - batch["y"]).square().mean().item()}

    def metadata(self) -> dict[str, object]:
        return {"config": {"noise": self.noise}}


class Interrupted(Regression):
    """Receives Ctrl-C while step `at` is computed."""

    def __init__(self, at: int, noise: float) -> None:
        super().__init__(noise)
        self.at = at

    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().loss(model, batch, step)


class Diverging(Regression):
    def loss(self, model: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        losses = super().loss(model, batch, step)
        return {"loss": losses["loss"] * (float("nan") if step == 2 else 1)}


def assert_same_state(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "state.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def metrics(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_exactly_these_files(tmp_path):
    path = fit(Regression(), SETTINGS, tmp_path / "run", device="cpu")
    assert path == tmp_path / "run" / "model.safetensors"
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
        "state.json",
        "state.safetensors",
    ]
    lines = metrics(path.parent)
    assert [line["step"] for line in lines if line["split"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if line["split"] == "valid"] == [2, 4, 6]
    best = max((line for line in lines if line["split"] == "valid"), key=lambda line: line["score"])
    meta = load_checkpoint(path, "toy").meta
    assert (meta["step"], meta["metrics"]["score"]) == (best["step"], best["score"])
    assert meta["config"] == {"noise": 0.0}


def test_the_bar_shows_the_loss_and_the_last_validation(tmp_path, monkeypatch):
    notes = []
    monkeypatch.setattr("shared.console.ProgressBar.note", lambda bar, text: notes.append(text))
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    lines = metrics(tmp_path)
    losses = [line["loss"] for line in lines if line["split"] == "train"]
    scores = [line["score"] for line in lines if line["split"] == "valid"]
    assert notes[1] == f"loss {losses[1]:.3f}"
    assert notes[2] == f"loss {losses[2]:.3f}, score {scores[0]:.3f}"
    assert notes[5] == f"loss {losses[5]:.3f}, score {scores[1]:.3f}"


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_the_loss_falls(tmp_path, optimizer):
    settings = replace(SETTINGS, steps=100, validate_every=100, optimizer=optimizer)
    fit(Regression(), settings, tmp_path, device="cpu")
    losses = [line["loss"] for line in metrics(tmp_path) if line["split"] == "train"]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("at", [1, 2])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path, at, optimizer, ema_decay):
    """Ctrl-C saves the state after the step; resuming ends bit for bit where a whole run does."""
    settings = replace(SETTINGS, optimizer=optimizer, ema_decay=ema_decay)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(Regression(noise=0.1), settings, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(at, noise=0.1), settings, cut, device="cpu")
    assert len([line for line in metrics(cut) if line["split"] == "train"]) == at + 1
    fit(Regression(noise=0.1), settings, cut, resume="auto", device="cpu")
    assert_same_state(whole, cut)
    one, other = (load_checkpoint(folder, "toy") for folder in (whole, cut))
    assert one.meta["fingerprint"] == other.meta["fingerprint"]
    assert [(m["step"], m.get("loss")) for m in metrics(cut)] == [
        (m["step"], m.get("loss")) for m in metrics(whole)
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_is_resumed_on_a_gpu(tmp_path, optimizer):
    settings = replace(SETTINGS, optimizer=optimizer)
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2, noise=0.1), settings, tmp_path, device="cuda")
    fit(Regression(noise=0.1), settings, tmp_path, resume="auto", device="cuda")
    assert metrics(tmp_path)[-1]["step"] == settings.steps


def test_killed_and_resumed_is_uninterrupted(tmp_path):
    """Without a chance to save, the run goes on from the last validation, and no step is logged twice."""

    class Killed(Regression):
        def make_batch(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
            if step == 3:
                raise MemoryError
            return super().make_batch(step, rank, world)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(Regression(), SETTINGS, whole, device="cpu")
    with pytest.raises(MemoryError):
        fit(Killed(), SETTINGS, cut, device="cpu")
    fit(Regression(), SETTINGS, cut, resume="auto", device="cpu")
    assert_same_state(whole, cut)
    assert [line["step"] for line in metrics(cut)] == [line["step"] for line in metrics(whole)]


def test_ctrl_c_works_again_after_training(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    fit(Regression(), replace(SETTINGS, steps=1), tmp_path, device="cpu")
    assert signal.getsignal(signal.SIGINT) is before


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    fit(Regression(), SETTINGS, tmp_path, resume="auto", device="cpu")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_auto_starts_where_there_is_nothing(tmp_path):
    assert fit(Regression(), SETTINGS, tmp_path / "new", resume="auto", device="cpu").is_file()


def test_a_run_is_not_overwritten(tmp_path):
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    with pytest.raises(UserError, match=r"already holds a training run.*--resume auto"):
        fit(Regression(), SETTINGS, tmp_path, device="cpu")


def test_changed_settings_are_named(tmp_path):
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    changed = replace(SETTINGS, learning_rate=0.1, betas=(0.8, 0.9))
    with pytest.raises(UserError, match=r"other settings \(config.noise, train.betas, train.lea"):
        fit(Regression(noise=0.2), changed, tmp_path, resume="auto", device="cpu")


def test_settings_that_change_no_weights_may_change(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(Regression(), SETTINGS, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2, noise=0.0), SETTINGS, cut, device="cpu")
    changed = replace(SETTINGS, workers=2, log_every=3)
    fit(Regression(), changed, cut, resume="auto", device="cpu")
    assert_same_state(whole, cut)


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        fit(Regression(), SETTINGS, tmp_path / "file" / "run", device="cpu")


def test_divergence_stops_the_run(tmp_path):
    with pytest.raises(UserError, match=r"diverged at step 3 \(loss nan\)"):
        fit(Diverging(), SETTINGS, tmp_path, device="cpu")
    state = load_file(tmp_path / "state.safetensors")  # of step 2, before it
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_learning_rate_golden_numbers():
    settings = TrainSettings(steps=100, learning_rate=1.0, warmup_steps=10, schedule="cosine")
    optimizers = [torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.0) for _ in range(2)]
    rates = [set_learning_rate(optimizers, settings, step) for step in (0, 4, 9, 50, 75, 100)]
    expected = [0.1, 0.49805, 0.98035, 0.505, 0.15498, 0.01]
    assert rates == pytest.approx(expected, abs=1e-5)
    assert [optimizer.param_groups[0]["lr"] for optimizer in optimizers] == [rates[-1]] * 2
    constant = replace(settings, schedule="constant")
    rates = [set_learning_rate(optimizers, constant, step) for step in (0, 4, 10, 100)]
    assert rates == pytest.approx([0.1, 0.5, 1, 1])
    assert set_learning_rate(optimizers, replace(constant, warmup_steps=0), 0) == 1


def test_average_golden_numbers():
    """The first weights are copied; then the decay is (1 + n) / (10 + n) up to its setting."""
    model = nn.Linear(1, 1, bias=False)
    average = make_average(model, TrainSettings(ema_decay=0.2))
    seen = []
    for weight in (1.0, 2.0, 4.0, 8.0):
        nn.init.constant_(model.weight, weight)
        average.update_parameters(model)
        seen.append(average.module.weight.item())
    second = 1 * 2 / 11 + 2 * 9 / 11
    third = second * 0.2 + 4 * 0.8  # 3 / 12 is beyond the setting
    assert seen == pytest.approx([1, second, third, third * 0.2 + 8 * 0.8])
    assert make_average(model, TrainSettings(ema_decay=0)) is None


def test_weight_decay_spares_vectors_and_embeddings():
    model = nn.ModuleDict(
        {"embed": nn.Embedding(3, 4), "linear": nn.Linear(4, 2), "norm": nn.LayerNorm(2)}
    )
    (optimizer,) = make_optimizers(model, TrainSettings(weight_decay=0.1))
    decayed, spared = optimizer.param_groups
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0
    assert [id(p) for p in decayed["params"]] == [id(model["linear"].weight)]
    assert len(spared["params"]) == 4


def test_muon_takes_exactly_the_hidden_matrices():
    """AdamW keeps vectors, embeddings, kernels, books, and the head, whose outputs leave the network."""
    model = nn.ModuleDict(
        {
            "embed": nn.Embedding(3, 4),
            "convolve": nn.Conv1d(4, 4, 3),
            "hidden": nn.Linear(4, 4),
            "norm": nn.LayerNorm(4),
            "head": nn.Linear(4, 2),
        }
    )
    model.register_parameter("books", nn.Parameter(torch.zeros(2, 3, 4)))
    settings = TrainSettings(optimizer="muon", learning_rate=0.1, weight_decay=0.1)
    beside, muon = make_optimizers(model, settings)
    assert isinstance(beside, torch.optim.AdamW)
    assert isinstance(muon, torch.optim.Muon)
    (group,) = muon.param_groups
    assert [id(p) for p in group["params"]] == [id(model["hidden"].weight)]
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.1)
    decayed, spared = ([id(p) for p in g["params"]] for g in beside.param_groups)
    plain = (model["convolve"].weight, model["head"].weight, model.books)
    assert sorted(decayed) == sorted(map(id, plain))
    everything = sorted(map(id, model.parameters()))
    assert sorted([*decayed, *spared, id(model["hidden"].weight)]) == everything


def test_without_muon_there_is_one_optimizer():
    model = nn.Linear(2, 2)
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        (optimizer,) = make_optimizers(model, TrainSettings(optimizer=name))
        assert type(optimizer) is kind


def test_muon_refuses_scaled_gradients():
    with pytest.raises(UserError, match=r"muon.*set 'train.precision=bf16-mixed'"):
        TrainSettings(optimizer="muon", precision="16-mixed")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("steps", 0), ("batch_size", 0), ("learning_rate", 0.0), ("ema_decay", 1.0), ("workers", 0)],
)
def test_settings_out_of_range(setting, value):
    with pytest.raises(UserError, match=f"'train.{setting}'"):
        TrainSettings(**{setting: value})


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(UserError, match="device 'tpu' is not available"):
        resolve_device("tpu")


def test_two_processes_are_one(tmp_path):
    """torchrun with two gloo processes ends with the weights of one process, but for rounding."""
    fit(Regression(), SETTINGS, tmp_path / "one", device="cpu")
    root = Path(__file__).parents[1]
    script = (
        "from pathlib import Path; from tests.test_engine import *\n"
        f"fit(Regression(), SETTINGS, Path({str(tmp_path / 'two')!r}), device='cpu')\n"
    )
    file = tmp_path / "run.py"
    file.write_text(script)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    finished = subprocess.run(
        [sys.executable, *launch, str(file)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    one, two = (load_file(tmp_path / run / "state.safetensors") for run in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6)
    assert len(metrics(tmp_path / "two")) == len(metrics(tmp_path / "one"))
