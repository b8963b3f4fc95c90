import pytest
import torch

from stage2_prior.delay_pattern import DelayPattern

PATTERNS = [(0,), (0, 1, 1), (0, 1, 2, 3), (0, 1, 1, 2, 2, 3, 3, 4, 4), (2, 0, 5)]


@pytest.mark.parametrize("delays", PATTERNS)
@pytest.mark.parametrize("frames", [1, 4, 33])
def test_revert_undoes_apply(delays: tuple[int, ...], frames: int) -> None:
    pattern = DelayPattern(delays)
    tokens = torch.randint(0, 64, (3, pattern.streams, frames))
    delayed = pattern.apply(tokens, fill=-2)
    assert delayed.shape == (3, pattern.streams, pattern.steps(frames))
    assert torch.equal(pattern.revert(delayed), tokens)
    assert ((delayed == -2).sum(-1) == pattern.longest).all()


def test_token_of_frame_t_lies_at_step_t_plus_delay() -> None:
    delayed = DelayPattern((0, 1, 3)).apply(torch.arange(4).expand(3, 4), fill=-1)
    assert delayed.tolist() == [
        [0, 1, 2, 3, -1, -1, -1],
        [-1, 0, 1, 2, 3, -1, -1],
        [-1, -1, -1, 0, 1, 2, 3],
    ]


def test_two_streams_share_a_step() -> None:
    assert DelayPattern.pairs(8).delays == (0, 0, 1, 1, 2, 2, 3, 3)
    assert DelayPattern.pairs(3).delays == (0, 0, 1)


@pytest.mark.parametrize("delays", [(), (1, 2), (0, -1)])
def test_delays_must_start_at_zero(delays: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="delays"):
        DelayPattern(delays)
