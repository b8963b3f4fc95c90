"""Masks sum to 1, share bands above 4 kHz, and their loss is that of the masked sound."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.sources import BASS, SOURCES
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.convnext import StackSizes
from stage1_vqvae.log_ratio import log_ratio
from stage1_vqvae.mask_head import MaskHead, mask_loss
from stage1_vqvae.model import VQVAE
from stage1_vqvae.spectral import pad_to_frames

RATE, HOP, WIDTH = 44100, 256, 8


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def head() -> MaskHead:
    torch.manual_seed(0)
    return MaskHead(StackSizes(WIDTH, 0, 7, 4, 0.1), RATE, HOP)


def test_masks_sum_to_one_and_begin_nearly_equal(head: MaskHead) -> None:
    masks = head(torch.randn(2, 5, WIDTH))
    assert masks.shape == (2, len(SOURCES), 2, 5, head.bands)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 2, 5, head.bands))
    assert (masks - 0.25).abs().max() < 0.2


def test_bins_have_masks_of_their_own_below_4_khz_only(head: MaskHead) -> None:
    assert len(head.band) == 2 * HOP + 1
    hertz = np.arange(2 * HOP + 1) * RATE / (4 * HOP)
    sizes = np.bincount(head.band)
    assert sizes.min() >= 1
    assert (np.diff(head.band.numpy()) >= 0).all()
    shared = sizes[head.band] > 1
    assert not shared[hertz < 3900].any()
    assert head.bands < 0.6 * len(head.band)


def test_a_band_is_the_sum_of_its_bins(head: MaskHead) -> None:
    values = noise(3, 2 * HOP + 1)
    expected = torch.zeros(3, head.bands).index_add(1, head.band, values)
    torch.testing.assert_close(head.band_sums(values), expected)


def test_equal_masks_give_every_source_its_share_of_the_mixture(head: MaskHead) -> None:
    masks = torch.full((1, 4, 2, 9, head.bands), 0.25)
    mixture = head.spectrum(pad_to_frames(noise(1, 2, 8 * HOP), HOP))
    frames = head.apply_masks(masks, mixture)
    assert frames.shape == (1, 4, 2, 9, 4 * HOP)
    whole = head.apply_masks(torch.ones_like(masks), mixture)
    torch.testing.assert_close(4 * frames, whole)


@pytest.mark.parametrize("level", [0.3, 0.01])
def test_the_loss_is_the_ratio_of_mean_squares(head: MaskHead, level: float) -> None:
    """Equal masks of independent noises leave 9/16 of a source and 1/16 of each other one."""
    stems = 10 * level * noise(3, 4, 2, 60 * HOP)
    masks = torch.full((3, 4, 2, 61, head.bands), 0.25)
    signal = torch.tensor(level**2)
    expected = log_ratio(0.75 * signal, signal)
    found = mask_loss(head, masks, pad_to_frames(stems, HOP))
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


def test_the_loss_falls_as_the_masks_become_right(head: MaskHead) -> None:
    """Each source has a frequency of its own."""
    time = torch.arange(4000) / RATE
    tones = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (200, 900, 2500, 9000)])
    stems = pad_to_frames(0.1 * tones[None, :, None].expand(1, 4, 2, -1), HOP)
    power = head.spectrum(stems).abs().square()
    ideal = head.band_sums(power) / head.band_sums(power).sum(1, keepdim=True).clamp(min=1e-9)
    equal = torch.full_like(ideal, 0.25)
    assert mask_loss(head, ideal, stems) < -0.8 < mask_loss(head, equal, stems) < 0


@pytest.fixture
def codec() -> VQVAECodec:
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    config = replace(config, model=replace(config.model, mask_head=True, long_window=True))
    torch.manual_seed(0)
    model = VQVAE(config.model)
    assert model.mask_head is not None
    torch.nn.init.normal_(model.mask_head.readout.weight, std=0.5)
    return VQVAECodec(model, config, "test")


def test_estimates_sum_to_the_mixture(codec: VQVAECodec) -> None:
    mixture = noise(2, 30_000).numpy()
    estimates = codec.separate(mixture)
    assert estimates.shape == (4, 2, 30_000)
    assert np.abs(estimates[0] - estimates[1]).max() > 1e-3
    np.testing.assert_allclose(estimates.sum(0), mixture, atol=1e-6)


def test_chunks_and_single_sources_equal_the_whole(codec: VQVAECodec) -> None:
    mixture = noise(2, 30_000).numpy()
    whole = codec.separate(mixture)
    codec.chunk_frames = 7
    np.testing.assert_allclose(codec.separate(mixture), whole, atol=1e-6)
    np.testing.assert_allclose(codec.separate(mixture, ["bass"]), whole[[BASS]], atol=1e-6)
    np.testing.assert_allclose(codec.separate(mixture, ["drums", "bass"]), whole[[2, 1]], atol=1e-6)


def test_frames_are_masked_some_at_a_time(
    codec: VQVAECodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = noise(2, 30_000).numpy()
    whole = codec.separate(mixture)
    monkeypatch.setattr("stage1_vqvae.codec.MASKED_FRAMES", 7)
    np.testing.assert_array_equal(codec.separate(mixture), whole)


def test_codes_do_not_depend_on_chunks_with_a_long_window(codec: VQVAECodec) -> None:
    mixture = noise(2, 30_000).numpy()
    whole = codec.encode(mixture)
    codec.chunk_frames = 7
    np.testing.assert_array_equal(codec.encode(mixture), whole)
