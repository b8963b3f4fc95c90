"""What a divided run divides; tests of shares and of the loop run it in two processes."""

import pytest
import torch
from torch import nn

from shared.training.sharding import _blocks, gather, part_like, whole_of
from stage1_vqvae.convnext import ConvNeXtBlock
from stage1_vqvae.model import VQVAE
from stage2_prior.x_transformers_guard import Attention, FeedForward
from tests.test_shares import prior_task, vqvae_config


def test_the_blocks_of_the_codec_are_gathered_by_themselves() -> None:
    model = VQVAE(vqvae_config().model)
    blocks = [*_blocks(model)]
    assert blocks == [module for module in model.modules() if isinstance(module, ConvNeXtBlock)]
    assert len(blocks) > 1


@pytest.mark.parametrize("part", ["listener", "composer", "performer"])
def test_the_layers_of_the_prior_are_gathered_by_themselves(part: str) -> None:
    model = prior_task(part).model
    blocks = [*_blocks(model)]
    layers = [m for m in model.modules() if isinstance(m, Attention | FeedForward)]
    assert layers
    assert all(any(layer is block for block in blocks) for layer in layers)
    weights = [weight for block in blocks for weight in block.parameters()]
    assert len({id(weight) for weight in weights}) == len(weights)  # each belongs to one block


def test_blocks_in_nested_lists() -> None:
    inner = nn.Sequential(nn.Linear(1, 1), nn.Tanh())
    model = nn.ModuleDict({"list": nn.ModuleList([inner, nn.Linear(1, 1)]), "not": nn.Linear(1, 1)})
    assert [*_blocks(model)] == [inner[0], model["list"][1]]  # type: ignore[index]


def test_a_single_process_divides_nothing() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    assert whole_of(weight) is weight
    assert torch.equal(gather({"a": weight.T})["a"], weight.T)
    assert part_like(weight, torch.zeros(2, 3)) is weight


def test_a_number_of_an_older_file_becomes_a_vector() -> None:
    assert torch.equal(part_like(torch.tensor(3.0), torch.zeros(1)), torch.tensor([3.0]))
    assert part_like(torch.tensor(3), torch.tensor(0)).shape == ()
