"""Stage 2 works with any codec that keeps to the contract: here with EnCodec, which is not ours."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from shared.codes.codec import Codec, CodeFormat
from shared.codes.manifest import read_manifest
from shared.codes.song_codes import SongCodes
from shared.config import load_config
from stage1_vqvae.extract import extract_codes
from stage2_prior.arrange import ArrangeOptions, generate_takes
from stage2_prior.bass_sound import PlainSound
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.evaluate import NamedPrior, evaluate_prior
from stage2_prior.model import load_prior
from stage2_prior.sampling import SamplingSettings
from stage2_prior.train import train_prior
from tests.conftest import WriteSong
from tests.encodec_codec import EncodecCodec

SECONDS = 4.5


@pytest.fixture(scope="module")
def codec() -> Codec:
    return EncodecCodec()


def test_its_codes_differ_with_the_sound(codec: Codec) -> None:
    sound = np.random.default_rng(0).standard_normal((2, 24000)).astype(np.float32)
    codes = codec.encode(sound)
    assert codes.shape == (4, 2, codec.num_frames(24000))
    assert len(np.unique(codes[3])) > 10
    assert codec.decode(codes, 23456, ["bass", "other"]).shape == (2, 23456)


@pytest.mark.slow
def test_a_prior_is_trained_measured_and_used_with_it(
    codec: Codec, write_song: WriteSong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train/one", "test/two", "test/three"):
        folder = write_song(tmp_path / "songs" / name, seconds=SECONDS)
    codes = extract_codes(tmp_path / "songs", codec, tmp_path / "codes").manifest.parent
    assert read_manifest(codes).format == CodeFormat.of(codec)
    first = SongCodes.load(read_manifest(codes).files[0])
    assert first.view("alone").shape == (4, 2, codec.num_frames(round(SECONDS * 24000)))
    config = load_config(PriorConfig, PRESETS, "tiny")
    prior = load_prior(train_prior(codes, tmp_path / "run", config, device="cpu"))
    settings = SamplingSettings.of(prior, candidates=1)

    monkeypatch.setattr("stage2_prior.evaluate.SECTION_CLIPS", 1)
    monkeypatch.setattr("stage2_prior.evaluate.GUIDANCES", (1.0,))
    priors = [NamedPrior("on EnCodec", prior, settings)]
    report = evaluate_prior(codes, codec, priors, tmp_path / "report", seconds=4.2)
    assert report.codec == codec.fingerprint
    rows = {row.name: row.figures["voiced_share"].songs for row in report.comparison}
    assert rows["generated"] == 2

    stems = [soundfile.read(path)[0] for path in sorted(folder.glob("*.wav"))]
    song = tmp_path / "song.wav"
    soundfile.write(song, sum(stems), 44100)
    generate_takes(
        song, tmp_path / "new", codec, prior, settings, ArrangeOptions(), PlainSound(codec)
    )
    bass, rate = soundfile.read(tmp_path / "new" / "song.bass.wav")
    assert (bass.shape, rate) == ((round(SECONDS * 44100), 2), 44100)
    assert np.isfinite(bass).all()
