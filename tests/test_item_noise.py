"""Random numbers belong to the examples of a batch, however many processes share it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.training.item_noise import ItemNoise


def draws(items: list[int], seed: int = 1, step: int = 2, length: int = 6) -> list[Tensor]:
    """What several functions draw for some examples."""
    like = torch.zeros(len(items), length, 3)
    with ItemNoise(seed, step, items):
        return [
            torch.rand_like(like),
            torch.randn_like(like, dtype=torch.float64),
            torch.randn(len(items), 2, dtype=torch.complex64),
            torch.rand((len(items), 4)),
            nn.Dropout(0.5)(torch.ones(len(items), length, 3)),
        ]


def test_an_example_gets_the_same_numbers_in_every_share() -> None:
    whole = draws([0, 1, 2, 3])
    for shares in ([[0, 2], [1, 3]], [[0], [1], [2], [3]]):
        for items in shares:
            for part, all_ in zip(draws(items), whole, strict=True):
                assert torch.equal(part, all_[items])


def test_examples_steps_seeds_and_draws_differ() -> None:
    first = draws([0, 1])[0]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, draws([0, 1], seed=2)[0])
    assert not torch.equal(first, draws([0, 1], step=3)[0])
    like = torch.zeros(2, 50)
    with ItemNoise(1, 2, [0, 1]):
        one, two = torch.rand_like(like), torch.rand_like(like)
    assert not torch.equal(one, two)


def test_what_pads_an_example_does_not_change_its_numbers() -> None:
    """Of uniform numbers, of which dropout is made."""
    short, long = draws([3], length=4), draws([3], length=9)
    for draw in (0, 4):
        assert torch.equal(short[draw], long[draw][:, :4])


def test_dropout_keeps_its_share_and_scale() -> None:
    x = torch.ones(4, 5000, requires_grad=True)
    with ItemNoise(0, 0, range(4)):
        y = F.dropout(x, 0.2)
        assert torch.equal(F.dropout(x, 0.2, training=False), x)
    assert y.unique().tolist() == pytest.approx([0, 1.25])
    assert (y > 0).float().mean().item() == pytest.approx(0.8, abs=0.02)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_the_distributions_are_those_of_torch() -> None:
    like = torch.zeros(2, 20_000)
    with ItemNoise(0, 0, range(2)):
        uniform, normal = torch.rand_like(like), torch.randn_like(like)
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (uniform.min() >= 0) & (uniform.max() < 1)
    assert normal.std().item() == pytest.approx(1, abs=0.02)


def test_other_tensors_come_from_torchs_own_generator() -> None:
    torch.manual_seed(0)
    expected = torch.rand(7)
    torch.manual_seed(0)
    with ItemNoise(5, 5, range(4)):
        assert torch.equal(torch.rand(7), expected)
    own = torch.Generator().manual_seed(0)
    with ItemNoise(5, 5, range(7)):
        assert torch.equal(torch.rand(7, generator=own), expected)
