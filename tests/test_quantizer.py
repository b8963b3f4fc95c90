"""Soft mixtures in training, codes at inference, and the schedule between them."""

import math

import pytest
import torch

from shared.config import load_config
from stage1_vqvae.config import PRESETS, QuantizerSchedule, VQVAEConfig
from stage1_vqvae.quantizer import Quantizer, Softness, assign, softness

BATCH, FRAMES, SOURCES, BOOKS, ENTRIES, SIZE = 2, 5, 4, 3, 8, 6
QUIET = Softness(temperature=1.0, noise=0.0)


def gradient(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(
        BATCH, FRAMES, SOURCES, BOOKS, ENTRIES, generator=torch.Generator().manual_seed(0)
    )


@pytest.fixture(params=[False, True], ids=["per-source", "shared"])
def quantizer(request: pytest.FixtureRequest) -> Quantizer:
    torch.manual_seed(0)
    return Quantizer(SOURCES, BOOKS, ENTRIES, SIZE, shared=request.param)


def test_shapes(quantizer: Quantizer, logits: torch.Tensor) -> None:
    vectors = quantizer(logits, Softness())
    codes = quantizer.codes(logits)
    assert vectors.shape == (BATCH, FRAMES, SOURCES, BOOKS * SIZE)
    assert codes.shape == (BATCH, FRAMES, SOURCES, BOOKS)
    assert quantizer.lookup(codes).shape == vectors.shape


def test_training_mixes_the_entries(quantizer: Quantizer, logits: torch.Tensor) -> None:
    """q = sum_k y_k e_k, codebooks of a source side by side."""
    weights = assign(logits, QUIET)
    vectors = quantizer(logits, QUIET)
    books = quantizer.codebooks.expand(SOURCES, -1, -1, -1)
    expected = weights[1, 2, 3, 1] @ books[3, 1]
    torch.testing.assert_close(vectors[1, 2, 3, SIZE : 2 * SIZE], expected)
    assert (weights.amax(-1) < 1).any()  # soft indeed


def test_inference_takes_the_best_entry(quantizer: Quantizer, logits: torch.Tensor) -> None:
    codes = quantizer.codes(logits)
    assert torch.equal(codes, logits.argmax(-1))
    book = quantizer.codebooks.expand(SOURCES, -1, -1, -1)[2, 0]
    torch.testing.assert_close(quantizer.lookup(codes)[0, 1, 2, :SIZE], book[codes[0, 1, 2, 0]])


def test_a_cold_mixture_is_the_lookup(quantizer: Quantizer, logits: torch.Tensor) -> None:
    cold = quantizer(logits, Softness(temperature=1e-4, noise=0.0))
    torch.testing.assert_close(cold, quantizer.lookup(quantizer.codes(logits)))


def test_shared_codebooks_give_all_sources_the_same_vectors() -> None:
    shared = Quantizer(SOURCES, BOOKS, ENTRIES, SIZE, shared=True)
    codes = torch.randint(ENTRIES, (1, FRAMES, 1, BOOKS)).expand(-1, -1, SOURCES, -1)
    vectors = shared.lookup(codes)
    assert all(torch.equal(vectors[:, :, 0], vectors[:, :, s]) for s in range(SOURCES))


def test_weights_are_the_softmax_of_the_logits_over_the_temperature(
    logits: torch.Tensor,
) -> None:
    weights = assign(logits, Softness(0.5, noise=0.0))
    exponentials = (2 * logits).exp()
    torch.testing.assert_close(weights, exponentials / exponentials.sum(-1, keepdim=True))


def test_gumbel_noise_grows_with_its_scale() -> None:
    """Its deviation is pi / sqrt(6) times the scale; that of a difference is sqrt(2) times more."""
    logits = torch.zeros(50_000, 2)
    for scale in (0.5, 1.0):
        torch.manual_seed(0)
        weights = assign(logits, Softness(temperature=1.0, noise=scale))
        noise = (weights[:, 0] / weights[:, 1]).log()
        expected = scale * math.pi / math.sqrt(6) * math.sqrt(2)
        assert noise.std().item() == pytest.approx(expected, rel=0.02)


def test_the_hard_phase_draws_no_noise(quantizer: Quantizer, logits: torch.Tensor) -> None:
    state = Softness(0.5, noise=1.0, hard=True)
    torch.testing.assert_close(quantizer(logits, state), quantizer(logits, state))


def test_weights_sum_to_one_and_sharpen_as_it_cools(logits: torch.Tensor) -> None:
    hot, cold = (assign(logits, Softness(t, noise=0.0)) for t in (2.0, 0.2))
    torch.testing.assert_close(hot.sum(-1), torch.ones(hot.shape[:-1]))
    assert (cold.amax(-1) >= hot.amax(-1)).all()


def test_gumbel_noise_draws_entries_by_their_probability() -> None:
    """The Gumbel-max trick: the argmax of z + g is a sample of softmax(z)."""
    torch.manual_seed(0)
    logits = torch.tensor([0.0, 1.0, 2.0]).repeat(20000, 1)
    draws = assign(logits, Softness(temperature=0.01)).argmax(-1)
    shares = torch.bincount(draws, minlength=3) / len(draws)
    torch.testing.assert_close(shares, logits[0].softmax(-1), rtol=0, atol=0.015)


def test_the_straight_through_phase_is_hard_forward_and_soft_backward(
    quantizer: Quantizer, logits: torch.Tensor
) -> None:
    soft, hard = (logits.clone().requires_grad_() for _ in range(2))
    hard_vectors = quantizer(hard, Softness(0.5, noise=0.0, hard=True))
    torch.testing.assert_close(hard_vectors, quantizer.lookup(quantizer.codes(logits)))
    direction = torch.randn_like(hard_vectors)
    (hard_vectors * direction).sum().backward()
    (quantizer(soft, Softness(0.5, noise=0.0)) * direction).sum().backward()
    torch.testing.assert_close(hard.grad, soft.grad)


@pytest.mark.parametrize("state", [Softness(), QUIET, Softness(0.3, 0.0, hard=True)])
def test_gradients_reach_logits_and_codebooks(
    quantizer: Quantizer, logits: torch.Tensor, state: Softness
) -> None:
    logits.requires_grad_()
    quantizer(logits, state).square().sum().backward()
    assert gradient(logits).isfinite().all()
    assert gradient(logits).abs().sum((0, 1, 4)).min() > 0
    assert gradient(quantizer.codebooks).abs().sum((2, 3)).min() > 0


@pytest.fixture
def encoded() -> torch.Tensor:
    """The encoder's output if logits are tied: points that are not yet bounded to the cube."""
    shape = (BATCH, FRAMES, SOURCES, BOOKS, SIZE)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=[False, True], ids=["per-source", "shared"])
def tied(request: pytest.FixtureRequest) -> Quantizer:
    """A quantiser whose entries were moved a little, as training does."""
    torch.manual_seed(0)
    quantizer = Quantizer(SOURCES, BOOKS, ENTRIES, SIZE, shared=request.param, tied=True)
    with torch.no_grad():
        quantizer.codebooks.add_(0.3 * torch.randn_like(quantizer.codebooks))
    return quantizer


def test_the_encoder_gives_logits_or_points(
    quantizer: Quantizer, tied: Quantizer, logits: torch.Tensor, encoded: torch.Tensor
) -> None:
    assert (quantizer.inputs, tied.inputs) == (ENTRIES, SIZE)
    assert quantizer.logits(logits) is logits
    assert tied.logits(encoded).shape == logits.shape


def test_tied_logits_take_the_nearest_entry(tied: Quantizer, encoded: torch.Tensor) -> None:
    books = tied.codebooks.expand(SOURCES, -1, -1, -1)
    distances = (encoded.tanh()[..., None, :] - books).square().sum(-1)
    assert torch.equal(tied.codes(tied.logits(encoded)), distances.argmin(-1))


def test_tied_logits_fall_with_the_squared_distance(tied: Quantizer, encoded: torch.Tensor) -> None:
    """By 3.5 times half of it, in units of the cube that each of the 8 entries has to itself."""
    books = tied.codebooks.expand(SOURCES, -1, -1, -1)
    distances = (encoded.tanh()[..., None, :] - books).square().sum(-1)
    side = 2 / 8 ** (1 / 6)
    expected = (-3.5 * distances / 2 / side**2).softmax(-1)
    torch.testing.assert_close(assign(tied.logits(encoded), QUIET), expected)


def test_a_cold_mixture_is_the_lookup_when_tied(tied: Quantizer, encoded: torch.Tensor) -> None:
    logits = tied.logits(encoded)
    cold = tied(logits, Softness(temperature=1e-5, noise=0.0))
    torch.testing.assert_close(cold, tied.lookup(tied.codes(logits)))


def test_a_tied_mixture_is_about_its_point() -> None:
    """Gradients therefore pass the quantiser nearly unchanged."""
    quantizer = Quantizer(1, 1, 64, 6, tied=True)
    points = 0.5 * torch.randn(1, 200, 1, 1, 6, generator=torch.Generator().manual_seed(2))
    mixture = quantizer(quantizer.logits(points), QUIET).flatten(0, 2)
    correlation = torch.corrcoef(torch.stack((mixture.flatten(), points.tanh().flatten())))[0, 1]
    assert correlation > 0.9


def test_tied_entries_start_evenly_in_the_cube() -> None:
    books = Quantizer(SOURCES, BOOKS, 64, 6, tied=True).codebooks
    assert books.amin() >= -1
    assert books.amax() <= 1
    assert books.mean((2, 3)).abs().max() < 0.05
    halves = (books >= 0).sum(2)  # of each axis, half the entries lie on each side
    assert (halves == 32).all()


@pytest.mark.parametrize("state", [Softness(), QUIET, Softness(0.6, 0.0, hard=True)])
def test_gradients_reach_encoder_and_codebooks_when_tied(
    tied: Quantizer, encoded: torch.Tensor, state: Softness
) -> None:
    encoded.requires_grad_()
    tied(tied.logits(encoded), state).square().sum().backward()
    assert gradient(encoded).isfinite().all()
    assert gradient(encoded).abs().sum((0, 1)).min() > 0
    assert gradient(tied.codebooks).abs().sum((2, 3)).min() > 0


def test_only_the_compact_preset_ties_logits() -> None:
    tied = {
        name: load_config(VQVAEConfig, PRESETS, name).model.tied_logits
        for name in ("compact", "paper", "tiny")
    }
    assert tied == {"compact": True, "paper": False, "tiny": False}


def test_schedule_golden_numbers() -> None:
    schedule = QuantizerSchedule(
        temperature_start=1.0,
        temperature_end=0.4,
        temperature_until=0.5,
        noise_full_at=0.25,
        hard_from=0.8,
    )
    seen = [softness(schedule, progress) for progress in (0, 0.125, 0.25, 0.5, 0.79, 0.8, 1.0)]
    assert [s.temperature for s in seen] == pytest.approx([1, 0.85, 0.7, 0.4, 0.4, 0.4, 0.4])
    assert [s.noise for s in seen] == pytest.approx([0, 0.5, 1, 1, 1, 0, 0])
    assert [s.hard for s in seen] == [False] * 5 + [True] * 2


def test_the_papers_schedule_never_moves() -> None:
    schedule = QuantizerSchedule(1.0, 1.0, 0.6, noise_full_at=0.0, hard_from=1.0)
    assert {repr(softness(schedule, p)) for p in (0.0, 0.5, 1.0)} == {repr(Softness())}
