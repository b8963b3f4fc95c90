"""Songs of odd lengths, levels and rates, through the commands that read songs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from shared.codes.codec import CodeFormat
from shared.codes.song_codes import SongCodes
from shared.config import load_config
from shared.errors import UserError
from shared.sound.files import MAX_CHANNELS, read_audio
from shared.sound.samples import rms
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage1_vqvae.separate import separate
from stage2_prior import arrange
from stage2_prior.arrange import generate_bass
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.delivery import SOUNDS
from stage2_prior.model import Prior
from stage2_prior.sampling import SamplingSettings

HOP = 1024
RATE = 44_100
QUICK = SamplingSettings(guidance=1.0, candidates=1)


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, VQVAE_PRESETS, "tiny", overrides=[f"model.hop={HOP}"])
    return VQVAECodec(VQVAE(config.model), config, fingerprint="test")


@pytest.fixture(scope="module")
def prior(codec: VQVAECodec) -> Prior:
    torch.manual_seed(0)
    config = load_config(PriorConfig, PRESETS, "tiny").model
    return Prior(config, CodeFormat.of(codec), fingerprint="untrained").eval()


@pytest.fixture(autouse=True)
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is slow."""

    def draw(path: Path, *_: Any) -> None:
        path.touch()

    monkeypatch.setattr(arrange, "save_generation_picture", draw)


def noise(samples: int, level: float = 0.1) -> np.ndarray:
    return level * np.random.default_rng(0).standard_normal((samples, 2))


def square(samples: int) -> np.ndarray:
    """A square wave at full scale, 55 Hz."""
    wave = np.where(np.sin(2 * np.pi * 55 * np.arange(samples) / RATE) < 0, -1.0, 32767 / 32768)
    return np.stack([wave, wave], axis=1)


SONGS = {
    "0.1 s": (noise(4410), RATE),
    "a hop and a sample less": (noise(HOP - 1 + HOP), RATE),
    "two hops": (noise(2 * HOP), RATE),
    "two hops and a sample": (noise(2 * HOP + 1), RATE),
    "silence": (np.zeros((RATE, 2)), RATE),
    "a square wave at full scale": (square(RATE), RATE),
    "8 kHz": (noise(8000), 8000),
    "192 kHz": (noise(96_000), 192_000),
    "the lowest rate": (noise(500), 1000),
    "the highest rate": (noise(96_000), 768_000),
}


@pytest.mark.parametrize("name", SONGS)
def test_a_bass_of_the_songs_length(
    name: str, tmp_path: Path, codec: VQVAECodec, prior: Prior
) -> None:
    samples, rate = SONGS[name]
    song = tmp_path / "song.wav"
    soundfile.write(song, samples, rate, "PCM_16")
    made = generate_bass(song, tmp_path / "out", codec, prior, QUICK)
    written = {kind: read_audio(made.files[kind]) for kind in SOUNDS}
    for sound in written.values():
        assert (sound.samples.shape, sound.sample_rate) == ((2, len(samples)), rate)
        assert np.abs(sound.samples).max() <= 1
    if not samples.any():
        assert rms(written["backing"].samples) == 0
    total = written["backing"].samples + written["bass"].samples
    np.testing.assert_allclose(written["mix"].samples, total, rtol=0, atol=2e-6)
    coded = SongCodes.load(made.files["codes"])
    assert coded.num_frames == codec.num_frames(coded.num_samples)


@pytest.mark.parametrize("name", SONGS)
def test_stems_sum_to_the_song(name: str, tmp_path: Path, codec: VQVAECodec) -> None:
    samples, rate = SONGS[name]
    song = tmp_path / "song.wav"
    soundfile.write(song, samples, rate, "PCM_16")
    made = separate(song, tmp_path / "out", codec)
    parts = [read_audio(path).samples for path in (*made.stems.values(), made.residual)]
    np.testing.assert_allclose(np.sum(parts, axis=0), read_audio(song).samples, rtol=0, atol=2e-6)


@pytest.mark.parametrize("samples", [1, HOP - 1])
def test_less_than_a_frame_is_refused(samples: int, tmp_path: Path, codec: VQVAECodec) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(samples), RATE)
    with pytest.raises(UserError, match="less than a frame of 23 ms: give a longer song"):
        separate(song, tmp_path / "out", codec)
    assert not (tmp_path / "out").exists()


# What is no song, but may be given as one.


def test_a_thousand_channels_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((8, 1000)), RATE)
    with pytest.raises(UserError, match=f"has 1000 channels; mix it down to {MAX_CHANNELS}"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize("kind", ["loop", "dangling"])
def test_links_that_lead_nowhere(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.wav"
    path.symlink_to({"loop": path, "dangling": tmp_path / "none"}[kind])
    with pytest.raises(UserError, match="there is no file"):
        read_audio(path)


def test_a_name_with_nul_is_no_file() -> None:
    with pytest.raises(UserError, match="there is no file"):
        read_audio("a\0b.wav")


def test_a_small_file_of_much_silence_takes_no_more_memory_than_its_samples(
    tmp_path: Path,
) -> None:
    """Ten minutes of zeros in a few kilobytes."""
    import tracemalloc

    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE, 2, "PCM_16") as file:
        for _ in range(600):
            file.write(np.zeros((RATE, 2), np.int16))
    assert (tmp_path / "a.flac").stat().st_size < 200_000
    tracemalloc.start()
    audio = read_audio(tmp_path / "a.flac")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audio.samples.shape == (2, 600 * RATE)
    assert peak < 2.3 * audio.samples.nbytes
