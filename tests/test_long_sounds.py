"""What is computed block after block equals what is computed at once, and needs little memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
import torch

from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import Note, notes_to_tokens
from shared.sound.channels import Channels
from shared.sound.crossover import BLOCK, join_bands
from shared.sound.files import read_audio, read_sliced, write_flac
from shared.sound.integrated_loudness import integrated_loudness
from shared.sound.level_curve import LevelCurve
from shared.sound.resampling import Fitted, at_rate, resampled
from shared.sound.samples import resample
from shared.sound.sliced import Derived, SlicedSamples, blocks_of, stored, whole
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage1_vqvae.separate import separate, separate_samples
from stage2_prior.articulation import articulate, articulate_blocks
from stage2_prior.balance import balance_envelope, level_beside_song

RATE = 44_100


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as long, and blocks are short."""
    monkeypatch.setattr("shared.sound.sliced.MOST_IN_MEMORY", 1000)
    monkeypatch.setattr("shared.sound.sliced.BLOCK", 7001)
    for module in ("shared.sound.resampling", "stage2_prior.balance"):
        monkeypatch.setattr(f"{module}.BLOCK", 7001)
    monkeypatch.setattr("shared.sound.samples.BLOCK", 7001)
    monkeypatch.setattr("shared.sound.level_curve.BLOCKS_AT_ONCE", 3)
    monkeypatch.setattr("shared.sound.integrated_loudness._STEPS_AT_ONCE", 2)


def noise(seconds: float = 2.0, channels: int = 2) -> np.ndarray:
    shape = (channels, round(seconds * RATE))
    return 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def sliced(samples: np.ndarray) -> SlicedSamples:
    """The same sound, which is no array."""
    return Derived(lambda part: part, samples, channels=len(samples))


@pytest.mark.parametrize("rates", [(48_000, 44_100), (44_100, 48_000), (44_101, 44_100), (8, 1)])
@pytest.mark.usefixtures("short_memory")
def test_blocks_are_resampled_as_the_whole_is(rates: tuple[int, int]) -> None:
    sound = noise()
    at_once = resample(sound, *rates)
    np.testing.assert_allclose(whole(resampled(sliced(sound), *rates)), at_once, atol=1e-6)
    longer = at_rate(sliced(sound), *rates, at_once.shape[1] + 2, None)
    assert isinstance(longer, Fitted)
    assert not longer[:, at_once.shape[1] :].any()
    assert longer[:, :].shape == longer.shape == (2, at_once.shape[1] + 2)


@pytest.mark.parametrize("kind", ["usual", "dead", "inverted", "offset"])
@pytest.mark.usefixtures("short_memory")
def test_channels_and_levels_do_not_depend_on_blocks(kind: str) -> None:
    sound = noise(4.0)
    sound[0] += 0.5 * np.sin(np.arange(sound.shape[1]) / 50)
    sound[1] = {"usual": sound[1], "dead": 0 * sound[1], "inverted": -sound[0]}.get(
        kind, sound[0] + 0.5
    )
    at_once, in_blocks = Channels.of(sound), Channels.of(sliced(sound))
    assert at_once.factors == in_blocks.factors
    np.testing.assert_allclose(whole(in_blocks.usual), whole(at_once.usual), atol=1e-6)
    curves = [LevelCurve.of(each, RATE) for each in (sound, sliced(sound))]
    np.testing.assert_allclose(curves[0].blocks, curves[1].blocks, atol=1e-3)
    assert curves[0].seconds == curves[1].seconds
    notes = notes_to_tokens([Note(0.5, 1.0, 40)], 172, RATE / 1024)
    levels = [level_beside_song(each, notes, each, RATE) for each in (sound, sliced(sound))]
    assert levels[0] == pytest.approx(levels[1], abs=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.usefixtures("short_memory")
def test_the_loudness_is_that_of_pyloudnorm(channels: int) -> None:
    sound = noise(5.0, channels)
    sound[:, : 2 * RATE] *= 0.05  # is left out by the relative gate
    expected = pyloudnorm.Meter(RATE).integrated_loudness(sound.T.astype(np.float64))
    assert integrated_loudness(sliced(sound), RATE) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("size", [3000, 1 << 20])
def test_bands_of_blocks_are_joined_as_those_of_the_whole(size: int) -> None:
    length = 2 * BLOCK + 5000
    low, high = (noise(length / RATE, channels) for channels in (2, 1))
    pairs = zip(blocks_of(low, size), blocks_of(high, size), strict=True)
    joined, whole = (
        np.concatenate([*join_bands(blocks, 300.0, RATE)], 1) for blocks in (pairs, [(low, high)])
    )
    np.testing.assert_array_equal(joined, whole)
    with pytest.raises(ValueError, match="differ in length"):
        [*join_bands([(low, high[:, 1:])], 300.0, RATE)]


def test_attacks_on_the_edges_of_blocks_are_shaped() -> None:
    sound = np.ones((2, RATE), np.float32)
    notes = notes_to_tokens([Note(0.1 * i, 0.05, 40) for i in range(9)], 43, RATE / 1024)
    blocks = articulate_blocks(blocks_of(sound, 4097), notes, RATE, 1024)
    expected = articulate(sound, notes, RATE, 1024)
    np.testing.assert_array_equal(np.concatenate([*blocks], 1), expected)
    assert expected.min() < 0.5


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, PRESETS, "tiny", overrides=["model.hop=1024"])
    return VQVAECodec(VQVAE(config.model), config, "untrained", chunk_frames=32)


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.usefixtures("short_memory")
def test_a_long_song_is_separated_as_a_short_one(codec: VQVAECodec, mask: bool) -> None:
    song = noise(3.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.sound.sliced.MOST_IN_MEMORY", 1 << 23)
        at_once = separate_samples(song, 48_000, codec, mask=mask)
    in_blocks = separate_samples(sliced(song), 48_000, codec, mask=mask)
    for name, stem in at_once.stems.items():
        np.testing.assert_allclose(whole(in_blocks.stems[name]), whole(stem), atol=1e-5)
    np.testing.assert_allclose(whole(in_blocks.mix), whole(at_once.mix), atol=1e-5)


@pytest.mark.slow
def test_the_memory_of_separate_does_not_grow_with_the_song(
    codec: VQVAECodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy's memory is measured, which is where the sounds are."""
    monkeypatch.setattr("shared.sound.sliced.MOST_IN_MEMORY", 1 << 16)
    monkeypatch.setattr("shared.sound.sliced.BLOCK", 1 << 16)
    monkeypatch.setattr("shared.sound.samples.BLOCK", 1 << 16)
    monkeypatch.setattr("shared.sound.masking.BLOCK", 1 << 14)
    peaks = []
    for seconds in (10, 40):
        song = tmp_path / f"{seconds}.wav"
        soundfile.write(song, np.tile(noise(1.0), seconds).T, RATE, subtype="FLOAT")
        tracemalloc.start()
        separate(song, tmp_path / f"out{seconds}", codec)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 4 * 40 * RATE * 2 * 4 / 2  # half of what four sources take


def test_hours_of_silence_in_a_small_file_need_neither_memory_nor_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.sound.sliced.MOST_IN_MEMORY", 1 << 16)
    monkeypatch.setattr("shared.sound.sliced.BLOCK", 1 << 16)
    file = tmp_path / "silence.flac"
    write_flac(file, np.zeros((2, 120 * RATE), np.float32), RATE)
    assert file.stat().st_size < 100_000
    tracemalloc.start()
    audio = read_sliced(file, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audio.samples.shape == (2, 120 * RATE)
    assert peak < 20e6  # 42 MB of samples
    assert not audio.samples[:, -5:].any()


def test_a_file_that_does_not_fit_into_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "long.wav"
    soundfile.write(file, noise(60.0).T, RATE)

    def full(samples: SlicedSamples) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr("shared.sound.files.whole", full)
    with pytest.raises(UserError, match="is 1 minutes long, for which there is not enough memory"):
        read_audio(file)


@pytest.mark.usefixtures("short_memory")
def test_a_stored_line_is_balanced_as_an_array_is(tmp_path: Path) -> None:
    from stage2_prior.balance import BalanceRange

    song = noise(4.0)
    line = np.float32(0.1) * np.ascontiguousarray(song[::-1])
    notes = notes_to_tokens([Note(0.5, 3.0, 40)], 172, RATE / 1024)
    kept = stored(blocks_of(line), 2, tmp_path)
    expected = balance_envelope(line, notes, song, RATE, BalanceRange())
    found = balance_envelope(kept, notes, sliced(song), RATE, BalanceRange())
    np.testing.assert_allclose(found, expected, rtol=1e-4)
