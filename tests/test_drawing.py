"""Tokens are drawn as often as their probabilities say."""

import pytest
import torch

from stage2_prior.drawing import draw, truncated
from stage2_prior.sampling_defaults import SamplingDefaults

PROBABILITIES = torch.tensor([0.1, 0.5, 0.15, 0.25])
EVERYTHING = SamplingDefaults(top_k=0, top_p=1, min_p=0)


def frequencies(temperature: float, settings: SamplingDefaults = EVERYTHING) -> list[float]:
    """How often each token is drawn of 20,000 times."""
    logits = (PROBABILITIES.log() + 3).expand(20_000, -1)
    drawn = draw(logits, temperature, settings, torch.Generator().manual_seed(0))
    return (drawn.bincount(minlength=4) / len(drawn)).tolist()


def test_tokens_are_drawn_by_their_probabilities() -> None:
    assert frequencies(1) == pytest.approx(PROBABILITIES.tolist(), abs=0.015)


def test_the_temperature_divides_the_logits() -> None:
    squared = PROBABILITIES**2
    assert frequencies(0.5) == pytest.approx((squared / squared.sum()).tolist(), abs=0.015)
    root = PROBABILITIES**0.5
    assert frequencies(2) == pytest.approx((root / root.sum()).tolist(), abs=0.015)
    assert frequencies(0) == [0, 1, 0, 0]


def test_tokens_are_cut_off_after_the_temperature() -> None:
    # At temperature 2 the least probable token has 0.45 of the probability of the most probable.
    assert frequencies(2, SamplingDefaults(min_p=0.4))[0] > 0.1
    assert frequencies(1, SamplingDefaults(min_p=0.4))[0] == 0


def test_the_rest_keeps_its_proportions() -> None:
    drawn = frequencies(1, SamplingDefaults(top_k=2, top_p=1, min_p=0))
    assert drawn == pytest.approx([0, 2 / 3, 0, 1 / 3], abs=0.015)


def test_forbidden_tokens_are_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf]).expand(100, -1)
    for temperature in (0.0, 1.0):
        assert (draw(logits, temperature, EVERYTHING, torch.Generator()) == 1).all()


def test_the_generator_alone_decides() -> None:
    logits = torch.zeros(50, 10)
    first, again, other = (
        draw(logits, 1, EVERYTHING, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_truncation() -> None:
    logits = PROBABILITIES.log()

    def kept(top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> list[int]:
        left = truncated(logits, top_k, top_p, min_p)
        assert torch.equal(left[left.isfinite()], logits[left.isfinite()])
        return left.isfinite().nonzero().flatten().tolist()

    assert kept() == [0, 1, 2, 3]
    assert kept(top_k=1) == [1]
    assert kept(top_k=2) == [1, 3]
    assert kept(top_k=9) == [0, 1, 2, 3]
    assert kept(top_p=0.01) == [1]
    assert kept(top_p=0.6) == [1, 3]
    assert kept(top_p=0.8) == [1, 2, 3]
    assert kept(min_p=0.4) == [1, 3]
    assert kept(top_k=3, min_p=0.25) == [1, 2, 3]
