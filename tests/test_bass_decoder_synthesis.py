"""The synthesiser plays what its controls say, and goes on where it stopped."""

import numpy as np
import pytest
import torch

from stage1_vqvae.bass_decoder.synthesis import (
    band_filters,
    fixed_spectrum,
    harmonic_sum,
    held_pitches,
    node_frequencies,
    node_phases,
    random_spectrum,
    shaped_noise,
)

RATE, HOP = 44100, 256


def curves(nodes: int, harmonics: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Amplitudes and a gliding frequency `[1, nodes, ...]`."""
    chance = np.random.default_rng(0)
    amplitudes = torch.from_numpy(chance.random((1, nodes, harmonics)).astype(np.float32))
    hertz = np.cumsum(chance.uniform(-3, 3, nodes)) + 100
    return amplitudes, torch.from_numpy(hertz / RATE)[None]


def test_the_tables_give_the_sum_of_the_sines() -> None:
    amplitudes, frequencies = curves(9, 20)
    found = harmonic_sum(amplitudes, frequencies, node_phases(frequencies, HOP), HOP)[0]
    nodes = np.arange(9) * HOP
    samples = np.arange(8 * HOP)
    speed = np.interp(np.arange(8 * HOP + 1), nodes, frequencies[0].numpy())
    cycles = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])[:-1]
    direct = sum(
        np.interp(samples, nodes, amplitudes[0, :, k - 1].numpy()) * np.sin(2 * np.pi * k * cycles)
        for k in range(1, 21)
    )
    np.testing.assert_allclose(found.numpy(), direct, atol=3e-3)  # the sum reaches 8
    assert np.abs(direct).max() > 8


def test_partials_above_the_nyquist_frequency_are_left_out() -> None:
    amplitudes = torch.ones(1, 5, 4)
    frequencies = torch.full((1, 5), 0.2, dtype=torch.float64)
    found = harmonic_sum(amplitudes, frequencies, node_phases(frequencies, HOP), HOP)[0]
    cycles = 0.2 * np.arange(4 * HOP)
    direct = np.sin(2 * np.pi * cycles) + np.sin(4 * np.pi * cycles)
    np.testing.assert_allclose(found.numpy(), direct, atol=1e-4)


def test_the_phase_goes_on_from_piece_to_piece() -> None:
    amplitudes, frequencies = curves(21, 8)
    whole = harmonic_sum(amplitudes, frequencies, node_phases(frequencies, HOP), HOP)
    pieces, phase = [], 0.0
    for start in (0, 7, 14):
        nodes = slice(start, min(21, start + 8))
        phases = node_phases(frequencies[:, nodes], HOP, phase)
        phase = float(phases[0, -1] % 1)
        pieces.append(harmonic_sum(amplitudes[:, nodes], frequencies[:, nodes], phases, HOP))
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-5)


def test_gradients_reach_the_amplitudes_and_not_the_pitch() -> None:
    amplitudes, frequencies = curves(5, 4)
    amplitudes.requires_grad_()
    frequencies.requires_grad_()
    sound = harmonic_sum(amplitudes, frequencies, node_phases(frequencies, HOP), HOP)
    sound.square().sum().backward()
    assert amplitudes.grad is not None
    assert (amplitudes.grad[0] != 0).all()
    assert frequencies.grad is None


def test_rests_hold_the_pitch_before_them() -> None:
    pitches = torch.tensor([[-1, 40, -1, -1, 43, -1], [-1] * 6])
    assert held_pitches(pitches).tolist() == [[40, 40, 40, 40, 43, 43], [40] * 6]


def test_a_deviation_shifts_the_pitch_and_changes_linearly() -> None:
    pitches = torch.tensor([[69, 69, 81]])
    frequencies = node_frequencies(pitches, torch.tensor([[0.0, 0.4, 0.4]]), 4, RATE) * RATE
    semitones = 12 * np.log2(frequencies[0].numpy() / 440)
    # Nodes 0 to 8, of which 4 is at the second frame, and 6 is nearer to the third.
    expected = [0, 0.1, 0.2, 0.3, 0.4, 0.4, 12.4, 12.4, 12.4]
    np.testing.assert_allclose(semitones, expected, atol=1e-6)


def test_a_single_frame_has_one_node() -> None:
    frequencies = node_frequencies(torch.tensor([[69]]), torch.zeros(1, 1), 4, 440)
    assert frequencies.tolist() == [[1.0]]


def test_the_filters_of_the_bands_add_up_to_one() -> None:
    filters = band_filters(48, RATE, HOP)
    assert filters.shape == (48, HOP + 1)
    np.testing.assert_allclose(filters.sum(0)[1:], 1, atol=1e-6)
    assert filters[:, 0].sum() == 0
    assert (filters.sum(1) > 0).all()  # every band has bins


def noise(gains: torch.Tensor) -> np.ndarray:
    torch.manual_seed(0)
    spectrum = random_spectrum(1, gains.shape[1], HOP, torch.device("cpu"))
    return shaped_noise(gains, band_filters(gains.shape[2], RATE, HOP), spectrum)[0].numpy()


def test_gains_of_one_make_white_noise_of_rms_1() -> None:
    samples = noise(torch.ones(1, 401, 16))
    assert samples.shape == (400 * HOP,)
    assert np.sqrt(np.square(samples).mean()) == pytest.approx(1, abs=0.02)
    levels = np.square(samples.reshape(-1, HOP)).mean(1)
    assert np.square(samples.reshape(-1, HOP)).mean(0).std() < 0.1  # steady between the nodes too
    assert levels.std() < 0.2


def test_a_band_of_noise_stays_in_its_band() -> None:
    gains = torch.zeros(1, 401, 16)
    gains[..., 8] = 1.0
    samples = noise(gains).reshape(-1, 4096)
    power = np.square(np.abs(np.fft.rfft(samples * np.hanning(4096)))).mean(0)
    band = band_filters(16, RATE, HOP)[8].numpy()
    inside = np.interp(np.arange(2049) / 2048, np.arange(HOP + 1) / HOP, band) > 0
    inside = np.convolve(inside, np.ones(65), "same") > 0  # the windows' main lobes
    assert power[inside].sum() / power.sum() > 0.999


def test_the_fixed_noise_is_white_and_depends_on_the_node_alone() -> None:
    whole = fixed_spectrum(0, 2500, 8)
    assert whole.shape == (1, 2500, 9)
    assert torch.equal(fixed_spectrum(1000, 1100, 8), whole[:, 1000:1100])
    assert torch.equal(fixed_spectrum(1024, 2048, 8), whole[:, 1024:2048])
    assert whole.abs().square().mean().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(whole[:, :100], whole[:, 1024:1124])
