"""The transform inverts itself, keeps energy, and its frames depend on two blocks only."""

import pytest
import torch

from stage1_vqvae.spectral import analyse, mid_side, num_frames, pad_to_frames, synthesise

HOP = 64


@pytest.mark.parametrize(
    ("num_samples", "frames"), [(0, 1), (1, 2), (HOP - 1, 2), (HOP, 2), (HOP + 1, 3), (640, 11)]
)
def test_num_frames_is_the_frames_of_the_analysis(num_samples: int, frames: int) -> None:
    assert num_frames(num_samples, HOP) == frames
    padded = pad_to_frames(torch.zeros(2, num_samples), HOP)
    assert padded.shape == (2, (frames + 1) * HOP)
    if frames > 1:
        assert analyse(padded, HOP).shape == (2, frames, HOP + 1)


@pytest.mark.parametrize("num_samples", [1, HOP - 1, HOP, HOP + 1, 1000])
def test_synthesis_inverts_analysis(num_samples: int) -> None:
    audio = torch.randn(3, 2, num_samples, generator=torch.Generator().manual_seed(num_samples))
    again = synthesise(analyse(pad_to_frames(audio, HOP), HOP), HOP, num_samples)
    torch.testing.assert_close(again, audio, rtol=0, atol=4e-6)  # of values up to 4


def test_the_transform_keeps_energy() -> None:
    """Frame energies add up to the signal's, because the squared windows add up to one."""
    audio = torch.randn(10 * HOP)
    power = analyse(pad_to_frames(audio, HOP), HOP).abs().square()
    power[:, 1:-1] *= 2  # the bins that rfft leaves out mirror these
    torch.testing.assert_close(power.sum(), audio.square().sum())


def test_a_frame_sees_its_two_blocks_only() -> None:
    audio = torch.randn(20 * HOP)
    changed = audio.clone()
    changed[5 * HOP + HOP // 2] += 1  # in block 5, which frames 5 and 6 cover
    difference = analyse(pad_to_frames(changed, HOP), HOP) - analyse(pad_to_frames(audio, HOP), HOP)
    assert difference.abs().amax(1).nonzero().flatten().tolist() == [5, 6]


def test_mid_side_is_its_own_inverse() -> None:
    stereo = torch.randn(4, 2, 50)
    torch.testing.assert_close(mid_side(mid_side(stereo)), stereo)
    mono = torch.ones(2, 50)
    torch.testing.assert_close(mid_side(mono), torch.stack((2**0.5 * mono[0], 0 * mono[0])))
