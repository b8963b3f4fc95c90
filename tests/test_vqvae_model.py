"""The network: shapes, selections, gradients, and what the decoder depends on."""

from dataclasses import replace

import pytest
import torch

from shared.training.optimizers import make_optimizers
from shared.training.settings import TrainSettings
from stage1_vqvae.config import ModelConfig
from stage1_vqvae.convnext import ConvNeXtStack, StackSizes
from stage1_vqvae.decoder import Decoder
from stage1_vqvae.model import VQVAE
from stage1_vqvae.quantizer import Softness
from stage1_vqvae.spectral import num_frames, pad_to_frames

TINY = ModelConfig(
    hop=64, codebooks=2, entries=8, code_size=4, encoder_width=16, encoder_blocks=1,
    decoder_width=16, decoder_blocks=1,
)  # fmt: skip
SAMPLES = 1000
QUIET = Softness(temperature=0.5, noise=0.0)


@pytest.fixture(params=[False, True], ids=["free", "tied"])
def model(request: pytest.FixtureRequest) -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(replace(TINY, tied_logits=request.param))


@pytest.fixture
def mixture() -> torch.Tensor:
    return 0.1 * torch.randn(3, 2, SAMPLES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def selection() -> torch.Tensor:
    return torch.tensor([[1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.float32)


def test_shapes(model: VQVAE, mixture: torch.Tensor, selection: torch.Tensor) -> None:
    output = model(mixture, selection, Softness())
    frames = num_frames(SAMPLES, TINY.hop)
    decoded = output.decoded
    assert decoded.selected.shape == decoded.complement.shape == mixture.shape
    assert decoded.selected_spectrum.shape == (3, 2, frames, TINY.hop + 1)
    assert model(mixture, None, Softness()).decoded is None
    assert output.logits.shape == (3, frames, 4, TINY.codebooks, TINY.entries)
    codes = model.encode(pad_to_frames(mixture, TINY.hop))
    assert codes.shape == (3, frames, 4, TINY.codebooks)


def test_the_complement_is_the_opposite_selection(
    model: VQVAE, mixture: torch.Tensor, selection: torch.Tensor
) -> None:
    one, other = (model(mixture, x, QUIET).decoded for x in (selection, 1 - selection))
    torch.testing.assert_close(one.selected, other.complement)
    torch.testing.assert_close(one.complement, other.selected)


def test_the_hard_forward_is_decode_of_encode(
    model: VQVAE, mixture: torch.Tensor, selection: torch.Tensor
) -> None:
    """The last phase of training computes exactly what inference does."""
    trained = model(mixture, selection, Softness(0.3, noise=0.0, hard=True))
    codes = model.encode(pad_to_frames(mixture, TINY.hop))
    decoded = model.decoder.synthesise(model.decode(codes, selection), SAMPLES)
    torch.testing.assert_close(trained.decoded.selected, decoded)


def test_codes_of_a_source_left_out_change_nothing(model: VQVAE, selection: torch.Tensor) -> None:
    codes = torch.randint(TINY.entries, (3, 6, 4, TINY.codebooks))
    changed = codes.clone()
    changed[0, :, 1:] = 0  # example 0 selects source 0 only
    torch.testing.assert_close(
        model.decode(codes, selection)[0], model.decode(changed, selection)[0]
    )
    changed[0, :, 0] = (codes[0, :, 0] + 1) % TINY.entries
    assert not torch.allclose(
        model.decode(codes, selection)[0], model.decode(changed, selection)[0]
    )


def test_the_gradient_reaches_every_parameter(
    model: VQVAE, mixture: torch.Tensor, selection: torch.Tensor
) -> None:
    decoded = model(mixture, selection, Softness()).decoded
    (decoded.selected.square().sum() + decoded.complement.square().sum()).backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not untouched


def test_the_bass_gradient_stays_with_the_bass_codebooks(
    model: VQVAE, mixture: torch.Tensor
) -> None:
    only_bass = torch.tensor([[0, 1, 0, 0]], dtype=torch.float32).expand(3, -1)
    model(mixture, only_bass, Softness()).decoded.selected.square().sum().backward()
    gradient = model.quantizer.codebooks.grad
    assert gradient is not None
    touched = gradient.abs().sum((1, 2, 3)) > 0
    assert touched.tolist() == [False, True, False, False]


def test_blocks_without_scale_leave_their_input_unchanged() -> None:
    torch.manual_seed(0)
    stack = ConvNeXtStack(StackSizes(width=16, blocks=2, kernel=7, expansion=4, layer_scale=0.0))
    x = torch.randn(2, 9, 16)
    torch.testing.assert_close(stack(x), torch.nn.functional.layer_norm(x, (16,)))


def test_a_frame_depends_on_the_frames_within_reach() -> None:
    torch.manual_seed(0)
    sizes = StackSizes(width=16, blocks=2, kernel=5, expansion=4, layer_scale=1.0)
    stack, x = ConvNeXtStack(sizes), torch.randn(1, 21, 16)
    changed = x.clone()
    changed[:, 10] += 1
    differs = (stack(x) != stack(changed)).any(-1).flatten().nonzero().flatten()
    assert differs.tolist() == list(range(10 - sizes.reach, 10 + sizes.reach + 1))
    assert sizes.reach == 4


def test_untied_logits_start_wide_enough(mixture: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = VQVAE(replace(TINY, encoder_width=64))
    logits = model.logits(pad_to_frames(mixture, TINY.hop))
    assert logits.std().item() == pytest.approx(3, rel=0.15)


def test_it_starts_near_silence(
    model: VQVAE, mixture: torch.Tensor, selection: torch.Tensor
) -> None:
    """A decoder that starts at full scale first has to learn to be silent."""
    decoded = model(mixture, selection, Softness()).decoded
    bins = decoded.selected_spectrum / model.decoder.envelope[..., 0][:, None]
    assert torch.view_as_real(bins).std().item() == pytest.approx(0.1, rel=0.2)


def test_the_envelope_falls_and_the_side_is_quieter() -> None:
    """If all outputs of the head are equal, the spectrum is pink and halved at 300 Hz."""
    decoder = Decoder(4, 8, 44100, 1024, StackSizes(16, 1, 7, 4, 0.1))
    torch.nn.init.zeros_(decoder.head.weight)
    torch.nn.init.ones_(decoder.head.bias)
    mid, side = decoder(torch.zeros(1, 5, 4, 8), torch.ones(1, 4))[0, :, 0].real
    hertz = torch.linspace(0, 22050, 1025)
    torch.testing.assert_close(mid, 300 / (300 + hertz))
    torch.testing.assert_close(side, 0.3 * mid)
    assert (mid.diff() < 0).all()


def test_fixed_tensors_are_not_among_the_weights(model: VQVAE) -> None:
    fixed = {name.rpartition(".")[2] for name, _ in model.named_buffers()}
    assert fixed == {"averages", "envelope"}
    assert not any(name.endswith(tuple(fixed)) for name in model.state_dict())


def test_muon_takes_the_networks_hidden_matrices(model: VQVAE) -> None:
    _, muon = make_optimizers(model, TrainSettings(optimizer="muon"))
    taken = {id(parameter) for parameter in muon.param_groups[0]["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in taken}
    blocks = {
        f"{part}.stack.blocks.0.{layer}.weight"
        for part in ("encoder", "decoder")
        for layer in ("expand", "contract")
    }
    assert names == blocks | {
        "encoder.project.weight",
        "encoder.readout.weight",
        "decoder.project.weight",
    }
