"""Separation: stems of the song's own rate and exact length that sum to it."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from shared.config import load_config
from shared.errors import UserError
from shared.sound.separation import CodedMixture
from shared.sound.sliced import whole
from shared.sources import SOURCES
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage1_vqvae.separate import separate, separate_samples

Parts = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    return VQVAECodec(VQVAE(config.model), config, "untrained")


def noise(num_samples: int, channels: int = 2) -> np.ndarray:
    random = np.random.default_rng(0)
    return 0.1 * random.standard_normal((channels, num_samples)).astype(np.float32)


def write(folder: Path, samples: np.ndarray, rate: int, name: str = "song.wav") -> Path:
    path = folder / name
    soundfile.write(path, samples.T, rate, subtype="PCM_16")
    return path


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize(
    ("rate", "num_samples"), [(44100, 20_001), (48000, 24_007), (22050, 9_999), (8000, 4_001)]
)
def test_stems_sum_to_the_song_at_its_own_rate_and_length(
    codec: VQVAECodec, tmp_path: Path, rate: int, num_samples: int, mask: bool
) -> None:
    song = write(tmp_path, noise(num_samples), rate)
    result = separate(song, tmp_path / "out", codec, mask=mask)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        ["song.all.wav", "song.residual.wav", *(f"song.{source}.wav" for source in SOURCES)]
    )
    for path in (*result.stems.values(), result.mix, result.residual):
        info = soundfile.info(path)
        assert (info.samplerate, info.frames, info.channels) == (rate, num_samples, 2)
    total = sum(read(path) for path in (*result.stems.values(), result.residual))
    np.testing.assert_allclose(total, read(song), rtol=0, atol=1e-6)


def separated(song: np.ndarray, rate: int, codec: VQVAECodec, *given: Any, **more: Any) -> Parts:
    """The stems by name, their mix and the residual, as arrays."""
    result = separate_samples(song, rate, codec, *given, **more)
    parts = {**result.stems, "mix": result.mix, "residual": result.residual}
    return {name: whole(samples) for name, samples in parts.items()}


def test_a_mask_leaves_no_residual_of_all_sources(codec: VQVAECodec) -> None:
    song = noise(30_000)
    stems = separated(song, 44100, codec)
    assert np.abs(stems["residual"]).max() < 1e-4
    np.testing.assert_allclose(stems["mix"], song, rtol=0, atol=1e-4)


def test_some_sources_and_their_mix(codec: VQVAECodec, tmp_path: Path) -> None:
    song = write(tmp_path, noise(10_000), 44100)
    result = separate(song, tmp_path / "out", codec, ["drums", "bass", "drums"])
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "song.bass+drums.wav",
        "song.bass.wav",
        "song.drums.wav",
        "song.residual.wav",
    ]
    bass, drums = read(result.stems["bass"]), read(result.stems["drums"])
    np.testing.assert_allclose(read(result.mix), bass + drums, rtol=0, atol=1e-6)
    expected = separated(read(song), 44100, codec)
    np.testing.assert_allclose(bass, expected["bass"], rtol=0, atol=1e-6)


def test_one_source_is_its_own_mix(codec: VQVAECodec, tmp_path: Path) -> None:
    song = write(tmp_path, noise(10_000), 44100)
    result = separate(song, tmp_path / "out", codec, ["bass"])
    assert result.mix == result.stems["bass"]
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_without_a_mask_it_is_the_decoders_sound(codec: VQVAECodec) -> None:
    song = noise(10_000)
    stems = separated(song, 44100, codec, ["bass", "other"], mask=False)
    gain = np.float32(0.1 / np.sqrt(np.square(song, dtype=np.float64).mean()))
    codes = codec.encode(song * gain)
    for source in ("bass", "other"):
        expected = codec.decode(codes, 10_000, [source]) / gain
        np.testing.assert_allclose(stems[source], expected, rtol=0, atol=1e-6)
    together = codec.decode(codes, 10_000, ["bass", "other"]) / gain
    np.testing.assert_allclose(stems["mix"], together, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mask", [True, False])
def test_an_inverted_channel_is_inverted_in_the_stems(codec: VQVAECodec, mask: bool) -> None:
    song = np.tile(noise(10_000, 1), (2, 1)) * np.array([[1], [0.9]], np.float32)
    flip = np.array([[1], [-1]], np.float32)
    usual, inverted = (
        separated(samples, 44100, codec, ["bass", "other"], mask) for samples in (song, flip * song)
    )
    for name, samples in usual.items():
        np.testing.assert_allclose(inverted[name], flip * samples, rtol=0, atol=1e-6)


def test_decoded_sources_have_the_level_of_the_mixture(codec: VQVAECodec) -> None:
    coded = CodedMixture.encode(noise(5_000), codec)
    each = coded.decode_each()
    for index, source in enumerate(SOURCES):
        encoded = codec.decode(coded.codes, 5_000, [source])
        np.testing.assert_allclose(each[index] * np.float32(coded.gain), encoded, rtol=1e-5)


def test_level_does_not_matter(codec: VQVAECodec) -> None:
    """A quiet song is brought to the codec's level, and its stems back to its own."""
    song = noise(10_000)
    soft: np.ndarray = song / np.float32(64)
    loud, quiet = (separated(samples, 44100, codec) for samples in (song, soft))
    np.testing.assert_allclose(64 * quiet["bass"], loud["bass"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 6])
def test_other_channel_counts_come_back_in_stereo(
    codec: VQVAECodec, tmp_path: Path, channels: int
) -> None:
    song = write(tmp_path, noise(5_000, channels), 44100)
    assert read(separate(song, tmp_path, codec, ["bass"]).stems["bass"]).shape == (2, 5_000)


def test_a_silent_song_gives_silent_stems(codec: VQVAECodec) -> None:
    stems = separated(np.zeros((2, 5_000), np.float32), 44100, codec)
    assert not any(stem.any() for stem in stems.values())


def test_the_mixture_of_a_stem_file(codec: VQVAECodec, stem_mp4: Path, tmp_path: Path) -> None:
    result = separate(stem_mp4, tmp_path, codec, ["bass"])
    assert result.residual.name == stem_mp4.name.removesuffix(".stem.mp4") + ".residual.wav"
    assert soundfile.info(result.residual).frames == 268_288


def test_mistakes(codec: VQVAECodec, tmp_path: Path) -> None:
    song = write(tmp_path, noise(5_000), 44100)
    with pytest.raises(UserError, match="no source 'guitar': choose from vocals, bass"):
        separate(song, tmp_path, codec, ["guitar"])
    with pytest.raises(UserError, match="no source is named"):
        separate(song, tmp_path, codec, [])
    with pytest.raises(UserError, match="there is no file"):
        separate(tmp_path / "none.wav", tmp_path, codec)
    with pytest.raises(UserError, match="lasts 2 ms, less than a frame of 12 ms"):
        separate(write(tmp_path, noise(100), 44100, "short.wav"), tmp_path, codec)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="/file is not a folder, but the results need one"):
        separate(song, tmp_path / "file" / "out", codec)


def test_files_that_do_not_fit_on_the_disk_are_refused_before_the_work(
    codec: VQVAECodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stems, their mix and the residual are four files."""
    song = write(tmp_path, noise(5_000), 44100)
    disk = SimpleNamespace(free=4 * 5_000 * 2 * 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: disk)
    separate(song, tmp_path / "fits", codec, ["bass", "drums"])
    disk.free -= 1
    with pytest.raises(UserError, match=r"no space left in .*: the files need 0\.2 MB"):
        separate(song, tmp_path / "new", codec, ["bass", "drums"])
    assert not (tmp_path / "new").exists()
