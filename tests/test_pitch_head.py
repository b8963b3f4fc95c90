"""The pitch head reads semitone levels, whose targets are right for known tones."""

import pytest
import torch

from shared.sources import BASS, SOURCES
from stage1_vqvae.pitch_head import (
    HIGHEST,
    LOWEST,
    STRIDE,
    PitchHead,
    semitone_filters,
    unexplained_share,
)
from stage1_vqvae.spectral import num_frames, pad_to_frames

RATE, HOP, SAMPLES = 44100, 1024, 44100


def tone(pitch: int) -> torch.Tensor:
    time = torch.arange(SAMPLES) / RATE
    return 0.1 * torch.sin(2 * torch.pi * 440 * 2 ** ((pitch - 69) / 12) * time)


@pytest.mark.parametrize("pitch", [40, 57, 69, 88])
def test_the_target_is_highest_at_the_pitch_that_sounds(pitch: int) -> None:
    stems = torch.zeros(1, len(SOURCES), 2, SAMPLES)
    stems[:, BASS] = tone(pitch)
    levels = PitchHead(6, RATE, HOP).target(pad_to_frames(stems, HOP))
    frames = -(-num_frames(SAMPLES, HOP) // STRIDE)
    assert levels.shape == (1, frames, len(SOURCES), HIGHEST - LOWEST + 1)
    assert levels[0, 4, BASS].argmax() == pitch - LOWEST
    silent = levels[:, :, [s for s in range(len(SOURCES)) if s != BASS]]
    assert silent.max() < 0.1 * levels[0, 4, BASS].max()


def test_filters_are_a_semitone_wide_where_bins_are_narrow() -> None:
    filters = semitone_filters(torch.arange(LOWEST, HIGHEST + 1), RATE, 8 * HOP)
    assert filters.min() == 0
    assert filters.max() <= 1
    assert (filters.sum(0) > 0.5).all()
    # Two semitones above A5 nothing of A5 is read.
    bin_of_a5 = round(880 * 8 * HOP / RATE)
    assert filters[bin_of_a5, 81 - LOWEST] > 0.9
    assert filters[bin_of_a5, 83 - LOWEST] == 0


def test_each_source_is_read_from_its_own_vector() -> None:
    head = PitchHead(6, RATE, HOP)
    torch.nn.init.normal_(head.weight)
    vectors = torch.randn(1, 8, len(SOURCES), 6)
    changed = vectors.clone()
    changed[:, :, BASS] += 1
    difference = (head(changed) - head(vectors)).abs().amax((0, 1, 3))
    assert (difference > 0.1).tolist() == [source == "bass" for source in SOURCES]


def test_what_is_not_explained_is_a_share_of_the_variance() -> None:
    target = torch.randn(2, 30, 4, 7)
    assert unexplained_share(target, target) == 0
    average = target.mean((0, 1), keepdim=True).expand_as(target)
    torch.testing.assert_close(unexplained_share(average, target), torch.tensor(1.0))
