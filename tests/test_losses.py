"""Each loss term on targets where its value is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT, get_window

from stage1_vqvae.config import LossConfig
from stage1_vqvae.losses import (
    magnitude_distance,
    negative_snr,
    stft_distance,
    usage_divergence,
    vqvae_loss,
)
from stage1_vqvae.model import Decoded, Reconstruction
from stage1_vqvae.spectral import analyse, mid_side, pad_to_frames

HOP = 64
TERMS = ("waveform", "stft", "snr", "magnitude", "usage")


def noise(seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(2, 2, 4096, generator=torch.Generator().manual_seed(seed))


def spectrum(audio: torch.Tensor) -> torch.Tensor:
    return analyse(pad_to_frames(mid_side(audio), HOP), HOP)


def reconstruction(selected: torch.Tensor, complement: torch.Tensor) -> Reconstruction:
    logits = torch.randn(2, 9, 4, 3, 8, generator=torch.Generator().manual_seed(9))
    decoded = Decoded(selected, complement, spectrum(selected), spectrum(complement))
    return Reconstruction(decoded, logits.requires_grad_())


def test_a_perfect_estimate_costs_nothing() -> None:
    audio = noise(0)
    assert stft_distance(audio, audio) == 0
    assert magnitude_distance(spectrum(audio), audio) == 0
    loud = 100 * audio  # the allowance for silent targets is negligible beside it
    assert negative_snr(loud, loud).item() == pytest.approx(-3, abs=0.01)  # -30 dB at best


def test_negative_snr_is_a_tenth_of_decibels() -> None:
    target = 100 * noise(0)
    assert negative_snr(1.1 * target, target).item() == pytest.approx(-2, abs=0.05)  # 20 dB
    assert negative_snr(0 * target, target).item() == pytest.approx(0, abs=0.01)  # silence: 0 dB


def test_negative_snr_of_a_silent_target_is_finite_and_falls_with_the_error() -> None:
    silence = torch.zeros(2, 2, 4096)
    loud, soft, none = (negative_snr(g * noise(0), silence) for g in (1.0, 0.1, 0.0))
    assert loud > soft > none == 0
    power = noise(0).square().mean((1, 2))
    expected = torch.log10(1 + power / 3e-4).mean()  # in units of -35 dBFS
    assert loud.item() == pytest.approx(expected.item(), rel=1e-5)


def test_negative_snr_averages_the_ratios_of_examples_not_their_errors() -> None:
    target = 100 * noise(0)
    estimate = torch.stack((1.1 * target[0], 0 * target[1]))  # 20 dB and 0 dB
    assert negative_snr(estimate, target).item() == pytest.approx(-1, abs=0.03)


def test_magnitude_ignores_phase() -> None:
    audio = noise(0)
    assert magnitude_distance(spectrum(-audio), audio) == pytest.approx(0)
    assert magnitude_distance(spectrum(0.5 * audio), audio) > 0.01


def test_magnitude_compares_magnitudes_to_the_power_of_two_fifths() -> None:
    audio = noise(0)
    compressed = spectrum(audio).abs() ** 0.4
    distance = magnitude_distance(spectrum(0.5 * audio), audio)
    expected = (1 - 0.5**0.4) * compressed.mean()
    assert distance.item() == pytest.approx(expected.item(), rel=0.01)


def test_stft_distance_is_that_of_magnitudes_with_n_fft_2048_and_hop_512() -> None:
    """Scipy's transform has the same frames: zeros around the signal, and a periodic window."""
    audio, other = noise(0), noise(1)
    transform = ShortTimeFFT(get_window("hann", 2048), hop=512, fs=1, fft_mode="onesided")
    one, two = (
        np.abs(transform.stft(x.flatten(0, 1).numpy(), p0=0, p1=9)) / 2048**0.5
        for x in (audio, other)
    )
    expected = np.abs(one - two).mean()
    assert stft_distance(other, audio).item() == pytest.approx(expected, rel=1e-4)


def test_stft_distance_is_linear_in_level() -> None:
    audio = noise(0)
    half, silence = stft_distance(0.5 * audio, audio), stft_distance(0 * audio, audio)
    assert (half / silence).item() == pytest.approx(0.5, abs=0.01)


def test_usage_is_zero_at_uniform_and_log_m_at_collapse() -> None:
    presence = torch.ones(3, 4)
    uniform = torch.zeros(3, 5, 4, 2, 8)
    collapsed = uniform.clone()
    collapsed[..., 0] = 50
    assert usage_divergence(uniform, presence).item() == pytest.approx(0, abs=1e-6)
    assert usage_divergence(collapsed, presence).item() == pytest.approx(math.log(8), abs=1e-4)


def test_usage_leaves_absent_sources_out() -> None:
    logits = torch.zeros(2, 5, 4, 2, 8)
    logits[0, :, 1, :, 0] = 50  # bass has collapsed in the example that has none
    presence = torch.ones(2, 4)
    presence[0, 1] = 0
    assert usage_divergence(logits, presence).item() == pytest.approx(0, abs=1e-6)
    presence[:, 1] = 0  # a source that no example holds
    assert usage_divergence(logits, presence).item() == pytest.approx(0, abs=1e-6)


def test_usage_is_that_of_all_frames_together() -> None:
    """Every frame may be sure of its entry, if the frames take all entries equally often."""
    logits = 50 * torch.eye(8)[None, :, None, None].expand(2, 8, 4, 3, 8)
    assert usage_divergence(logits, torch.ones(2, 4)).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_alone_is_the_weighted_loss(term: str) -> None:
    output = reconstruction(noise(1), noise(2))
    off = LossConfig(**dict.fromkeys(TERMS, 0.0))  # type: ignore[arg-type]
    config = replace(off, **{term: 2.0})  # type: ignore[arg-type]
    losses = vqvae_loss(output, noise(3), noise(4), torch.ones(2, 4), config)
    assert set(losses) == {"loss", term}
    torch.testing.assert_close(losses["loss"], 2 * losses[term])


def test_terms_of_the_heads_are_weighted_too() -> None:
    output = reconstruction(noise(1), noise(2))
    config = LossConfig(waveform=0, stft=0, snr=1, mask=0.5, pitch=0.25)
    heads = {"mask": torch.tensor(-1.0), "pitch": torch.tensor(2.0)}
    losses = vqvae_loss(output, noise(3), noise(4), torch.ones(2, 4), config, heads)
    torch.testing.assert_close(losses["loss"], losses["snr"] - 0.5 + 0.5)


def test_without_complement_the_complement_does_not_count() -> None:
    losses = [
        vqvae_loss(
            reconstruction(noise(1), complement),
            noise(3),
            noise(4),
            torch.ones(2, 4),
            LossConfig(waveform=1, stft=1, snr=1, magnitude=1, complement=False),
        )["loss"]
        for complement in (noise(2), noise(5))
    ]
    torch.testing.assert_close(*losses)


def test_the_loss_is_the_same_for_both_selections() -> None:
    """Selecting X and selecting its complement are the same example."""
    config = LossConfig(waveform=1, stft=1, snr=1, magnitude=1)
    one = vqvae_loss(
        reconstruction(noise(1), noise(2)), noise(3), noise(4), torch.ones(2, 4), config
    )
    other = vqvae_loss(
        reconstruction(noise(2), noise(1)), noise(4), noise(3), torch.ones(2, 4), config
    )
    torch.testing.assert_close(one["loss"], other["loss"])
