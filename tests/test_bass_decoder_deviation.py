"""The deviation of a tone from its note is measured, and only where a note is steady."""

import numpy as np
import pytest

from stage1_vqvae.bass_decoder.deviation import measure_deviation

RATE, HOP, FRAMES = 44100, 1024, 44


def string(pitch: float, level: float = 0.1) -> np.ndarray:
    """A tone with ten partials, `[(FRAMES - 1) * HOP]`."""
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    time = np.arange((FRAMES - 1) * HOP) / RATE
    partials = [np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 11)]
    return (level * np.sum(partials, axis=0)).astype(np.float32)


@pytest.mark.parametrize("note", [23, 28, 33, 40, 52, 67])
@pytest.mark.parametrize("cents", [0, 30, -45, 80])
def test_a_detuned_tone_is_measured(note: int, cents: int) -> None:
    pitches = np.full(FRAMES, note)
    found = measure_deviation(string(note + cents / 100), pitches, RATE, HOP)
    assert found.known[5:-5].all()
    # The window is short for the lowest string of a five-string bass.
    tolerance = 0.06 if note == 23 else 0.02
    np.testing.assert_allclose(found.semitones[5:-5], cents / 100, atol=tolerance)


def test_frames_near_a_change_or_the_edge_are_not_known() -> None:
    pitches = np.full(FRAMES, 40)
    pitches[:20] = 43
    pitches[35:] = -1
    found = measure_deviation(string(40), pitches, RATE, HOP)
    assert not found.known[:22].any()
    assert found.known[22:33].all()
    assert not found.known[33:].any()
    assert found.semitones[~found.known].tolist() == [0] * int((~found.known).sum())


def test_silence_and_noise_are_not_known() -> None:
    pitches = np.full(FRAMES, 40)
    assert not measure_deviation(string(40, 1e-5), pitches, RATE, HOP).known.any()
    samples = np.random.default_rng(0).standard_normal((FRAMES - 1) * HOP).astype(np.float32)
    assert measure_deviation(0.1 * samples, pitches, RATE, HOP).known.mean() < 0.3


def test_another_note_is_not_known() -> None:
    found = measure_deviation(string(43), np.full(FRAMES, 40), RATE, HOP)
    assert not found.known.any()
