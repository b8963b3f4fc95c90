"""The level head reads levels in bands, whose targets are right for known tones."""

import math

import pytest
import torch

from shared.sources import BASS, SOURCES
from stage1_vqvae.level_head import (
    BANDS,
    FLOOR,
    HIGHEST_HZ,
    LOWEST_HZ,
    REACH,
    LevelHead,
    level_distance,
    level_filters,
)
from stage1_vqvae.spectral import num_frames, pad_to_frames

RATE, HOP, SAMPLES = 44100, 1024, 44100


def stems_with_tone(hertz: float, amplitude: float = 0.1) -> torch.Tensor:
    stems = torch.zeros(1, len(SOURCES), 2, SAMPLES)
    stems[:, BASS] = amplitude * torch.sin(2 * math.pi * hertz * torch.arange(SAMPLES) / RATE)
    return pad_to_frames(stems, HOP)


@pytest.mark.parametrize("band", [3, 10, BANDS - 2])
def test_the_target_is_highest_in_the_band_of_a_tone(band: int) -> None:
    hertz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** (band / (BANDS - 1))
    head = LevelHead(6, RATE, HOP)
    levels = head.target(stems_with_tone(hertz))
    assert levels.shape == (1, num_frames(SAMPLES, HOP), len(SOURCES), BANDS)
    assert levels[0, 20, BASS].argmax() == band
    silent = levels[:, :, [source for source in range(len(SOURCES)) if source != BASS]]
    torch.testing.assert_close(silent, torch.full_like(silent, math.log10(FLOOR)))
    softer = head.target(stems_with_tone(hertz, 0.01))
    assert (levels - softer)[0, 20, BASS, band] == pytest.approx(2, abs=0.01)  # 20 dB


def test_filters_add_up_to_one_between_the_outer_centres() -> None:
    filters = level_filters(RATE, HOP)
    frequency = torch.linspace(0, RATE / 2, HOP + 1)
    inside = (frequency >= LOWEST_HZ) & (frequency <= HIGHEST_HZ)
    torch.testing.assert_close(filters.sum(1)[inside], torch.ones(int(inside.sum())))
    assert filters[0].sum() == 0
    assert filters.min() == 0


def test_each_source_is_read_from_its_own_vectors_nearby() -> None:
    head = LevelHead(6, RATE, HOP)
    torch.nn.init.normal_(head.weight)
    vectors = torch.randn(1, 8, len(SOURCES), 6)
    changed = vectors.clone()
    changed[:, 4, BASS] += 1
    difference = (head(changed) - head(vectors)).abs().amax((0, 3))
    expected = torch.zeros(8, len(SOURCES), dtype=torch.bool)
    expected[4 - REACH : 5 + REACH, BASS] = True
    assert torch.equal(difference > 0.01, expected)


def test_the_distance_is_in_bels() -> None:
    target = torch.randn(2, 5, len(SOURCES), BANDS)
    assert level_distance(target, target) == 0
    assert level_distance(target + 0.3, target).item() == pytest.approx(0.3, abs=1e-6)
