"""The encoder reads phases below 3.45 kHz, and levels of bands above."""

import math

import pytest
import torch

from shared.config import config_from_dict
from shared.errors import UserError
from stage1_vqvae.config import ModelConfig
from stage1_vqvae.convnext import StackSizes
from stage1_vqvae.encoder import BANDS, PHASE_HZ, Encoder, Features

RATE, HOP = 44100, 1024
PHASED = 4 * 160  # of mid and side, real and imaginary
LOW_TONE, HIGH_TONE = 50, 400  # bins of 21.5 Hz: 1.1 and 8.6 kHz


@pytest.fixture(scope="module")
def features() -> Features:
    return Features(RATE, HOP)


def tone(index: int, phase: float = 0.0, gain: float = 0.1) -> torch.Tensor:
    """Mono [1, 2, 4 * HOP] of a bin's own frequency."""
    time = torch.arange(4 * HOP, dtype=torch.float64)
    wave = gain * torch.cos(2 * math.pi * index * time / (2 * HOP) + phase)
    return wave.float().expand(1, 2, -1)


def test_size_at_hop_1024(features: Features) -> None:
    assert features.low == 160
    assert features.averages.shape == (1025 - 160, BANDS)
    assert features.size == 688 == PHASED + 2 * BANDS
    assert features(torch.zeros(3, 2, 6 * HOP)).shape == (3, 5, 688)


@pytest.mark.parametrize(("rate", "hop"), [(RATE, HOP), (RATE, 64), (8000, 16), (192000, 16)])
def test_every_high_bin_is_in_exactly_one_band(rate: int, hop: int) -> None:
    features = Features(rate, hop)
    assert features.low + len(features.averages) == hop + 1
    assert ((features.averages > 0).sum(1) == 1).all()
    torch.testing.assert_close(features.averages.sum(0), torch.ones(features.averages.shape[1]))
    assert features(torch.zeros(1, 2, 3 * hop)).shape == (1, 2, features.size)


def test_bands_are_of_equal_ratio(features: Features) -> None:
    first = features.averages.argmax(0) + features.low
    ratios = first[1:] / first[:-1]
    expected = (1025 / 160) ** (1 / BANDS)
    torch.testing.assert_close(ratios, torch.full_like(ratios, expected), rtol=0.01, atol=0)


def test_phases_are_read_below_and_not_above(features: Features) -> None:
    assert LOW_TONE * RATE / (2 * HOP) < PHASE_HZ < HIGH_TONE * RATE / (2 * HOP)
    for index, is_read in ((LOW_TONE, True), (HIGH_TONE, False)):
        one, other = (features(tone(index, phase)) for phase in (0.0, 1.0))
        assert ((one - other).abs().max() > 0.1) == is_read


def test_magnitudes_are_raised_to_the_power_of_two_fifths(features: Features) -> None:
    """A tone of amplitude a on a bin of its own has the magnitude a * sqrt(2 * hop) / pi there.

    That is the orthonormal transform of a sine window times a cosine, in mid times the root of 2.
    """
    low, high = (features(tone(index, gain=0.1))[0, 1] for index in (LOW_TONE, HIGH_TONE))
    magnitude = 0.1 * math.sqrt(2) * math.sqrt(2 * HOP) / math.pi
    real, imaginary = low[2 * LOW_TONE : 2 * LOW_TONE + 2]
    assert math.hypot(real, imaginary) == pytest.approx(magnitude**0.4, rel=1e-3)
    # The band averages the powers of its bins; those next to the tone's have some of it too.
    band = features.averages[HIGH_TONE - features.low].argmax()
    bins = int((features.averages[:, band] > 0).sum())
    assert high[PHASED + band] == pytest.approx((magnitude**2 / bins) ** 0.2, rel=0.2)


def test_levels_are_read_above(features: Features) -> None:
    quiet, loud = (features(tone(HIGH_TONE, gain=gain))[0, 1] for gain in (0.1, 0.2))
    band = PHASED + features.averages[HIGH_TONE - features.low].argmax()  # mid's come first
    assert quiet.argmax() == band
    assert loud[band] / quiet[band] == pytest.approx(2**0.4, rel=1e-3)


def test_inverted_polarity_inverts_what_has_phase_only(features: Features) -> None:
    noise = 0.1 * torch.randn(1, 2, 4 * HOP, generator=torch.Generator().manual_seed(0))
    one, other = features(noise), features(-noise)
    torch.testing.assert_close(other[..., :PHASED], -one[..., :PHASED])
    torch.testing.assert_close(other[..., PHASED:], one[..., PHASED:])


@pytest.mark.parametrize("sizes", [{"hop": 8}, {"sample_rate": 4000}, {"sample_rate": 10**6}])
def test_sizes_without_bins_on_both_sides_are_refused(sizes: dict[str, int]) -> None:
    (name,) = sizes
    with pytest.raises(UserError, match=f"'model.{name}'"):
        config_from_dict(ModelConfig, sizes, "model.")


@pytest.mark.parametrize("std", [1.0, 3.0])
def test_the_encoder_starts_with_the_deviation_asked_for(std: float) -> None:
    torch.manual_seed(0)
    encoder = Encoder((4, 8, 64), std, RATE, HOP, StackSizes(64, 1, 7, 4, 0.1))
    noise = 0.1 * torch.randn(2, 2, 8 * HOP)
    with torch.no_grad():
        output = encoder(noise)
    assert output.shape == (2, 7, 4, 8, 64)
    assert output.std() == pytest.approx(std, rel=0.1)
