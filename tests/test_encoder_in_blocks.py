"""What is computed in blocks must be what x-transformers computes at once."""

from typing import Any

import pytest
import torch

from stage2_prior.encoder_in_blocks import encode_in_blocks
from stage2_prior.x_transformers_guard import Encoder
from tests.toy_transformer import DIM, make_layers

TOLERANCE = 1e-5
BATCH, STEPS = 2, 50


def make(**options: Any) -> Encoder:
    return make_layers(Encoder, **options)


@pytest.mark.parametrize("size", [1, 7, STEPS - 1, STEPS, 2 * STEPS])
def test_blocks_of_any_size_equal_the_whole(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("stage2_prior.encoder_in_blocks.STEPS_AT_ONCE", size)
    encoder = make()
    x = torch.randn(BATCH, STEPS, DIM, generator=torch.Generator().manual_seed(1))
    expected = encoder(x)
    found = encode_in_blocks(encoder, x.clone())
    assert (found - expected).abs().max() < TOLERANCE
    # The steps see each other across blocks, in both directions, and know where they are.
    other = x.clone()
    other[:, [0, -1]] *= -1
    changed = encode_in_blocks(encoder, other)
    assert ((changed - found).abs().amax((0, 2)) > 10 * TOLERANCE).all()
    assert (encode_in_blocks(encoder, x.flip(1)).flip(1) - found).abs().max() > 10 * TOLERANCE


def test_the_input_is_overwritten_by_the_result() -> None:
    encoder = make()
    x = torch.randn(1, 5, DIM, generator=torch.Generator().manual_seed(1))
    expected = encoder(x)
    found = encode_in_blocks(encoder, x)
    assert found.data_ptr() == x.data_ptr()
    torch.testing.assert_close(x, expected)


@pytest.mark.parametrize(
    "options", [{"rotary_pos_emb": False}, {"sandwich_norm": True}, {"pre_norm": False}]
)
def test_another_kind_of_encoder_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        encode_in_blocks(make(**options), torch.zeros(1, 5, DIM))
