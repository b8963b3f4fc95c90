"""The shipped weights load, belong together, and are small enough for a repository and a wheel."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.band.recording.render import SAMPLE_RATE, Orchestra
from shared.band.scores.score import Part
from shared.codes.codec import CodeFormat
from shared.music.notes import Note
from shared.sound.files import write_wav
from shared.sound.samples import rms
from shared.sound.spectral_distance import band_distances
from shared.sources import BASS
from stage1_vqvae import codec as stage1
from stage1_vqvae.bass_decoder import decode as bass_decoder
from stage2_prior import model as stage2
from stage2_prior.sampling import SamplingSettings, generate

MEGABYTE = 10**6
ROOT = Path(__file__).parents[1]


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


def test_the_shipped_bass_decoder_is_of_the_shipped_codec() -> None:
    """It gives a bass the overtones that the codec's own decoder leaves out."""
    codec = stage1.load_codec()
    decoder = bass_decoder.find_bass_decoder(None, codec)
    assert decoder is not None
    notes = tuple(Note(0.5 * n, 0.45, pitch) for n, pitch in enumerate((40, 45, 43, 38)))
    with Orchestra() as orchestra:
        bass = orchestra.play(Part("bass", "bass", 33, False, notes), 0, 2 * SAMPLE_RATE)
    bass *= np.float32(0.1 / rms(bass))
    codes, length = codec.encode(bass), bass.shape[-1]
    full = decoder.decode(codes[BASS], None, length)
    plain = codec.decode(codes, length, ["bass"])
    better, worse = (band_distances(sound[0], bass[0], SAMPLE_RATE) for sound in (full, plain))
    for band in (2, 3):  # 400 to 1,000 and 1,000 to 3,000 Hz
        assert better[band].distance < worse[band].distance - 3
        assert abs(better[band].level_error) < abs(worse[band].level_error)


@pytest.mark.slow
def test_a_bass_is_written_without_loading_what_takes_longer_than_writing_it(
    tmp_path: Path,
) -> None:
    """librosa compiles itself for 20 s when it is first used, and loads numba, sklearn and pandas.

    torch's compiler takes half as long to load as torch does.
    """
    song = tmp_path / "song.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 44_100), np.float32)
    write_wav(song, noise, 44_100)
    program = (
        "import sys, cli\n"
        f"sys.argv[1:] = ['generate-bass', '--song', {str(song)!r}, '--out', {str(tmp_path)!r}]\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('loaded', *sys.modules)"
    )
    run = [sys.executable, "-c", program]
    printed = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    loaded = printed.rpartition("loaded")[2].split()
    assert "torch" in loaded
    assert not {"librosa", "numba", "sklearn", "pandas", "torch._dynamo"} & set(loaded)


@pytest.mark.parametrize(
    ("weights", "most"),
    [(stage1.SHIPPED, 38), (stage2.SHIPPED, 30), (bass_decoder.SHIPPED, 10)],
)
def test_the_weights_are_small(weights: Path, most: int) -> None:
    assert weights.stat().st_size <= most * MEGABYTE
