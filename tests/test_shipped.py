"""The shipped weights load, belong together, and are small enough for a repository and a wheel."""

from pathlib import Path

import numpy as np
import pytest

from shared.codes.codec import CodeFormat
from shared.sources import BASS
from stage1_vqvae import codec as stage1
from stage2_prior import model as stage2
from stage2_prior.sampling import SamplingSettings, generate

MEGABYTE = 10**6


def test_the_shipped_prior_is_of_the_shipped_codec() -> None:
    """Together they write and decode a bass for two seconds of noise."""
    codec, prior = stage1.load_codec(), stage2.load_prior()
    assert prior.format.fingerprint == codec.fingerprint
    assert prior.format == CodeFormat.of(codec)
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 2 * codec.sample_rate), np.float32)
    codes = codec.encode(noise)
    codes[BASS] = generate(prior, codes, SamplingSettings()).codes
    bass = codec.decode(codes, noise.shape[-1], ["bass"])
    assert np.isfinite(bass).all()


@pytest.mark.parametrize(("weights", "most"), [(stage1.SHIPPED, 25), (stage2.SHIPPED, 20)])
def test_the_weights_are_small(weights: Path, most: int) -> None:
    assert weights.stat().st_size <= most * MEGABYTE
