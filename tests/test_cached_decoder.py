"""The cached decoder must compute what x-transformers computes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stage2_prior.cached_decoder import CachedDecoder
from stage2_prior.x_transformers_guard import Decoder
from tests.toy_transformer import DIM, make_layers

TOLERANCE = 1e-4
BATCH, STEPS = 3, 90


def make(**options: Any) -> Decoder:
    return make_layers(Decoder, **options)


def run(cached: CachedDecoder, x: Tensor, positions: Tensor | None, sizes: list[int]) -> Tensor:
    """Give the steps of x to the decoder in portions of these sizes."""
    at = [None] * len(sizes) if positions is None else positions.split(sizes, dim=-1)
    portions = zip(x.split(sizes, dim=1), at, strict=True)
    return torch.cat([cached.advance(part, where) for part, where in portions], dim=1)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return make()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(BATCH, STEPS, DIM, generator=torch.Generator().manual_seed(1))


PORTIONS = [[1] * STEPS, [STEPS], [70, *[1] * 20], [1, 40, 1, 1, 30, 17]]


@pytest.mark.parametrize("sizes", PORTIONS)
def test_cached_equals_uncached(decoder: Decoder, x: Tensor, sizes: list[int]) -> None:
    output = run(CachedDecoder(decoder, BATCH, STEPS), x, None, sizes)
    assert (output - decoder(x)).abs().max() < TOLERANCE


def irregular(*shape: int) -> Tensor:
    """Positions that rise by uneven steps, some of which are 0 or fractions."""
    generator = torch.Generator().manual_seed(2)
    return (torch.randint(0, 20, (*shape, STEPS), generator=generator) / 4).cumsum(-1)


@pytest.mark.parametrize("sizes", PORTIONS)
@pytest.mark.parametrize("positions", [irregular(), irregular(BATCH), irregular().long()])
def test_any_positions_equal_those_of_x_transformers(
    decoder: Decoder, x: Tensor, positions: Tensor, sizes: list[int]
) -> None:
    output = run(CachedDecoder(decoder, BATCH, STEPS), x, positions, sizes)
    assert (output - decoder(x, pos=positions)).abs().max() < TOLERANCE
    assert (output - decoder(x)).abs().max() > 100 * TOLERANCE  # so the positions matter


def test_the_sequences_of_a_batch_have_positions_of_their_own(decoder: Decoder, x: Tensor) -> None:
    positions = irregular(BATCH)
    together = run(CachedDecoder(decoder, BATCH, STEPS), x, positions, [1] * STEPS)
    for i in range(BATCH):
        alone = run(CachedDecoder(decoder, 1, STEPS), x[i : i + 1], positions[i], [1] * STEPS)
        assert (together[i] - alone[0]).abs().max() < TOLERANCE


def test_later_changes_of_the_weights_have_no_effect(x: Tensor) -> None:
    decoder = make()
    cached, expected = CachedDecoder(decoder, BATCH, STEPS), decoder(x)
    for parameter in decoder.parameters():
        parameter.zero_()
    assert (cached.advance(x) - expected).abs().max() < TOLERANCE


def test_more_steps_than_there_is_room_for_are_refused(decoder: Decoder, x: Tensor) -> None:
    cached = CachedDecoder(decoder, BATCH, STEPS - 1)
    with pytest.raises(ValueError, match="beyond the 89 steps"):
        cached.advance(x)


@pytest.mark.parametrize("options", [{"sandwich_norm": True}, {"rotary_pos_emb": False}])
def test_another_kind_of_decoder_is_refused(options: dict[str, bool]) -> None:
    with pytest.raises(TypeError):
        CachedDecoder(make(**options), 1, 1)


WINDOW = 20


@pytest.mark.parametrize("sizes", PORTIONS[1:])
def test_a_window_means_the_same_for_any_portions(
    decoder: Decoder, x: Tensor, sizes: list[int]
) -> None:
    single = run(CachedDecoder(decoder, BATCH, STEPS, WINDOW), x, None, [1] * STEPS)
    output = run(CachedDecoder(decoder, BATCH, STEPS, WINDOW), x, None, sizes)
    assert (output - single).abs().max() < TOLERANCE
    assert (output[:, :WINDOW] - decoder(x)[:, :WINDOW]).abs().max() < TOLERANCE
    assert (output - decoder(x))[:, 2 * WINDOW :].abs().max() > 10 * TOLERANCE


@pytest.mark.parametrize("sizes", [PORTIONS[0], PORTIONS[1]])
def test_what_lies_before_all_windows_does_not_matter(
    decoder: Decoder, x: Tensor, sizes: list[int]
) -> None:
    changed = x.clone()
    reach = 2 * (WINDOW - 1)  # of both layers
    changed[:, : STEPS - 1 - reach] *= -1
    same, other = (
        run(CachedDecoder(decoder, BATCH, STEPS, WINDOW), each, None, sizes)
        for each in (x, changed)
    )
    assert (same[:, -1] - other[:, -1]).abs().max() < TOLERANCE
    assert (same[:, -2] - other[:, -2]).abs().max() > TOLERANCE


@pytest.mark.parametrize("more", [1, WINDOW // 4, WINDOW // 4 + 1])
def test_a_window_holds_where_there_are_hardly_more_steps(
    decoder: Decoder, x: Tensor, more: int
) -> None:
    steps = WINDOW + more
    single = run(CachedDecoder(decoder, BATCH, steps, WINDOW), x[:, :steps], None, [1] * steps)
    together = CachedDecoder(decoder, BATCH, steps, WINDOW).advance(x[:, :steps])
    assert (together - single).abs().max() < TOLERANCE


def test_memory_does_not_grow_with_the_number_of_steps(decoder: Decoder) -> None:
    short, long = (CachedDecoder(decoder, BATCH, steps, WINDOW) for steps in (100, 100_000))
    assert [each.shape for each in short.caches] == [each.shape for each in long.caches]
    assert {each.shape[-2] for each in long.caches} == {WINDOW + WINDOW // 4}


def test_sequences_can_leave_the_batch(decoder: Decoder, x: Tensor) -> None:
    cached = CachedDecoder(decoder, BATCH, STEPS)
    cached.advance(x[:, :50])
    cached.keep(torch.tensor([0, 2]))
    assert (cached.advance(x[[0, 2], 50:]) - decoder(x)[[0, 2], 50:]).abs().max() < TOLERANCE
