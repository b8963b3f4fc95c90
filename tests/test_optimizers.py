"""Which weights each optimiser takes, the average of the weights, and the learning rate."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from shared.errors import UserError
from shared.training import muon as muon_module
from shared.training.muon import Muon, orthogonalised
from shared.training.optimizers import make_average, make_optimizers, set_learning_rate
from shared.training.settings import TrainSettings


def test_learning_rate_golden_numbers() -> None:
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


def test_the_learning_rate_is_set_in_every_group() -> None:
    model = nn.Linear(2, 2)  # its weight and its bias are in different groups
    (optimizer,) = make_optimizers(model, TrainSettings(weight_decay=0.1))
    rate = set_learning_rate([optimizer], TrainSettings(learning_rate=0.3, warmup_steps=3), 0)
    assert [group["lr"] for group in optimizer.param_groups] == [rate, rate]
    assert rate == pytest.approx(0.1)


def test_average_golden_numbers() -> None:
    """The first weights are copied; then the decay is (1 + n) / (10 + n) up to its setting."""
    model = nn.Linear(1, 1, bias=False)
    average = make_average(model, TrainSettings(ema_decay=0.2))
    assert average is not None
    seen = []
    for weight in (1.0, 2.0, 4.0, 8.0):
        nn.init.constant_(model.weight, weight)
        average.update_parameters(model)
        seen += average.module.state_dict()["weight"].flatten().tolist()
    second = 1 * 2 / 11 + 2 * 9 / 11
    third = second * 0.2 + 4 * 0.8  # 3 / 12 is beyond the setting
    assert seen == pytest.approx([1, second, third, third * 0.2 + 8 * 0.8])
    assert make_average(model, TrainSettings(ema_decay=0)) is None


def test_weight_decay_spares_vectors_and_embeddings() -> None:
    model = nn.ModuleDict(
        {"embed": nn.Embedding(3, 4), "linear": nn.Linear(4, 2), "norm": nn.LayerNorm(2)}
    )
    (optimizer,) = make_optimizers(model, TrainSettings(weight_decay=0.1))
    decayed, spared = optimizer.param_groups
    assert decayed["weight_decay"] == 0.1
    assert spared["weight_decay"] == 0
    assert [id(p) for p in decayed["params"]] == [id(model["linear"].weight)]
    assert len(spared["params"]) == 4


def test_muon_takes_exactly_the_hidden_matrices() -> None:
    """AdamW keeps vectors, embeddings, kernels, codebooks, and the head."""
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
    assert isinstance(muon, Muon)
    (group,) = muon.param_groups
    assert [id(p) for p in group["params"]] == [id(model["hidden"].weight)]
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.1)
    assert group["adjust_lr_fn"] == "match_rms_adamw"
    decayed, spared = ([id(p) for p in g["params"]] for g in beside.param_groups)
    plain = (model["convolve"].weight, model["head"].weight, model.books)
    assert sorted(decayed) == sorted(map(id, plain))
    everything = sorted(map(id, model.parameters()))
    assert sorted([*decayed, *spared, id(model["hidden"].weight)]) == everything


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("shape", [(5, 12), (12, 5)])
def test_muon_takes_the_steps_of_torch(
    shape: tuple[int, int], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bf16 they are equal but for rounding; in float32 they differ by the rounding of bf16."""
    monkeypatch.setattr(muon_module, "computes_bf16_fast", lambda device: fast)
    settings: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.1}
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weights = [nn.Parameter(start.clone()) for _ in range(2)]
    optimizers = (
        torch.optim.Muon([weights[0]], **settings, adjust_lr_fn="match_rms_adamw"),
        Muon([weights[1]], **settings),
    )
    for step in range(3):
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(1 + step))
        for weight, optimizer in zip(weights, optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    theirs, ours = (weight.detach() - start for weight in weights)
    assert theirs.abs().max() > 0.02
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 if fast else 1e-3)


def test_singular_values_are_brought_near_one() -> None:
    matrix = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    made = orthogonalised(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7)
    values = torch.linalg.svdvals(made)
    assert 0.6 < values.min() < values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(made.flatten(), (left @ right).flatten(), 0) > 0.97


def test_without_muon_there_is_one_optimizer() -> None:
    model = nn.Linear(2, 2)
    settings = TrainSettings(learning_rate=0.3, betas=(0.5, 0.7))
    kinds: dict[Any, type] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    for name, kind in kinds.items():
        (optimizer,) = make_optimizers(model, replace(settings, optimizer=name))
        assert type(optimizer) is kind
        assert optimizer.defaults["lr"] == 0.3
        assert optimizer.defaults["betas"] == (0.5, 0.7)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_a_fused_optimizer_takes_the_same_steps(kind: Any) -> None:
    weights = []
    for fused in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        settings = TrainSettings(optimizer=kind, fused=fused, weight_decay=0.1)
        (optimizer,) = make_optimizers(model, settings)
        assert bool(optimizer.defaults["fused"]) is fused
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
        weights.append(model.weight.detach().clone())
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize("other", [{"precision": "16-mixed"}, {"compile": True}])
def test_what_a_divided_run_cannot_be_combined_with(other: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^'train\.sharded=true' .*: (set 'train|leave one out)"):
        TrainSettings(sharded=True, **other)


def test_a_fused_optimizer_cannot_clip_scaled_gradients() -> None:
    with pytest.raises(UserError, match=r"train\.fused"):
        TrainSettings(fused=True, precision="16-mixed")
