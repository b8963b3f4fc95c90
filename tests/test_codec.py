"""The codec: chunked coding equals whole coding, lengths are exact, wrong codes are refused."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.codes.codec import Codec
from shared.config import load_config
from shared.errors import UserError
from shared.sound.sliced import SlicedSamples
from shared.sources import BASS, SOURCES
from shared.training.checkpoint import save_checkpoint
from stage1_vqvae.codec import SHIPPED, BassRemoval, VQVAECodec, load_codec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage1_vqvae.quantizer import Softness
from stage2_prior.accompaniment import prepare_song
from tests.oracle_codec import OracleCodec

CHUNK = 12  # frames
HOP = 64
# Lengths around the edges of frames and of chunks. Decoding has edges of its own, because a block
# of samples lies between two frames.
LENGTHS = sorted(
    {1, 2, HOP - 1, HOP, HOP + 1, 777}
    | {
        (chunks * CHUNK + frames) * HOP + samples
        for chunks in (1, 2)
        for frames in (-1, 0, 1)
        for samples in (-1, 0, 1)
    }
)


@pytest.fixture(scope="module")
def config() -> VQVAEConfig:
    tiny = load_config(VQVAEConfig, PRESETS, "tiny")
    # Two blocks on each side, so that what they see reaches beyond one block's kernel.
    sizes = replace(tiny.model, hop=HOP, encoder_blocks=2, decoder_blocks=2, layer_scale=1.0)
    return replace(tiny, model=sizes)


@pytest.fixture(scope="module")
def model(config: VQVAEConfig) -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(config.model)


@pytest.fixture(scope="module")
def whole(model: VQVAE, config: VQVAEConfig) -> VQVAECodec:
    return VQVAECodec(model, config, "test", chunk_frames=10**6)


@pytest.fixture(scope="module")
def chunked(model: VQVAE, config: VQVAEConfig) -> VQVAECodec:
    return VQVAECodec(model, config, "test", chunk_frames=CHUNK)


def song(num_samples: int) -> np.ndarray:
    return np.float32(0.1) * np.random.default_rng(0).standard_normal((2, num_samples), np.float32)


@pytest.mark.parametrize("num_samples", LENGTHS)
def test_chunked_equals_whole(whole: VQVAECodec, chunked: VQVAECodec, num_samples: int) -> None:
    codes = whole.encode(song(num_samples))
    assert codes.dtype == np.uint16
    assert codes.shape == (4, whole.num_codebooks, whole.num_frames(num_samples))
    np.testing.assert_array_equal(chunked.encode(song(num_samples)), codes)
    audio = whole.decode(codes, num_samples)
    assert audio.shape == (2, num_samples)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() > 0
    np.testing.assert_allclose(chunked.decode(codes, num_samples), audio, rtol=0, atol=1e-5)


class CountingCodec(VQVAECodec):
    """Counts how often it encodes."""

    encoded = 0

    def encode(self, audio: SlicedSamples) -> np.ndarray:
        self.encoded += 1
        return super().encode(audio)


def test_a_bass_is_looked_for_in_codes_that_are_made_once(
    model: VQVAE, config: VQVAEConfig
) -> None:
    codec = CountingCodec(model, config, "counting")
    prepared = prepare_song(song(5000), codec, remove_bass=True)
    assert prepared.bass is not None
    assert codec.encoded == 1


class SlicesOnly:
    """A song that is read in slices of bounded length."""

    def __init__(self, audio: np.ndarray) -> None:
        self.audio, self.shape, self.longest = audio, audio.shape, 0

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        part: np.ndarray = self.audio[key]
        self.longest = max(self.longest, part.shape[-1])
        return part


def test_a_song_is_read_and_decoded_in_blocks(whole: VQVAECodec, chunked: VQVAECodec) -> None:
    audio = song(100 * HOP + 7)
    sliced = SlicesOnly(audio)
    codes = chunked.encode(sliced)
    np.testing.assert_array_equal(codes, whole.encode(audio))
    assert sliced.longest < 40 * HOP
    blocks = list(chunked.decode_blocks(codes, audio.shape[-1]))
    assert max(block.shape[-1] for block in blocks) == CHUNK * HOP
    np.testing.assert_array_equal(
        np.concatenate(blocks, axis=-1), chunked.decode(codes, audio.shape[-1])
    )


@pytest.mark.parametrize("num_samples", [HOP, 777])
def test_inference_is_the_models_hard_forward(
    model: VQVAE, whole: VQVAECodec, num_samples: int
) -> None:
    """Decoding codes gives exactly the sound that the last phase of training optimises."""
    mixture = torch.from_numpy(song(num_samples))[None]
    only_bass = torch.eye(4)[BASS][None]
    with torch.no_grad():
        output = model(mixture, only_bass, Softness(0.3, noise=0.0, hard=True)).decoded
    codes = whole.encode(mixture[0].numpy())
    decoded = whole.decode(codes, num_samples, ["bass"])
    np.testing.assert_allclose(output.selected[0].numpy(), decoded, rtol=0, atol=1e-6)
    others = [source for source in SOURCES if source != "bass"]
    np.testing.assert_allclose(
        output.complement[0].numpy(), whole.decode(codes, num_samples, others), rtol=0, atol=1e-6
    )


def test_decoding_all_is_decoding_every_source_named(whole: VQVAECodec) -> None:
    codes = whole.encode(song(777))
    np.testing.assert_array_equal(
        whole.decode(codes, 777), whole.decode(codes, 777, tuple(reversed(SOURCES)))
    )


def test_the_codes_of_every_source_change_the_sound(whole: VQVAECodec) -> None:
    codes = whole.encode(song(777))
    everything = whole.decode(codes, 777)
    for source in range(len(SOURCES)):
        changed = codes.copy()
        changed[source] = (changed[source] + 1) % whole.cardinality
        assert np.abs(whole.decode(changed, 777) - everything).max() > 1e-4
        muted = whole.decode(codes, 777, [s for s in SOURCES if s != SOURCES[source]])
        assert np.abs(muted - everything).max() > 1e-4


def test_a_source_left_out_does_not_change_the_sound(whole: VQVAECodec) -> None:
    codes = whole.encode(song(777))
    changed = codes.copy()
    changed[BASS] = 0
    rest = [source for source in SOURCES if source != "bass"]
    np.testing.assert_array_equal(whole.decode(codes, 777, rest), whole.decode(changed, 777, rest))


def test_estimates_come_in_the_order_in_which_sources_are_named(whole: VQVAECodec) -> None:
    codecs: tuple[Codec, ...] = (whole, OracleCodec(np.stack([song(5000)] * 4).cumsum(0)))
    for codec in codecs:
        every = codec.separate(song(5000))
        assert every.shape == (4, 2, 5000)
        assert np.abs(every[0] - every[2]).max() > 1e-3
        named = codec.separate(song(5000), ["drums", "vocals"])
        np.testing.assert_array_equal(named, every[[2, 0]])


def test_known_codes_are_not_made_again(
    model: VQVAE, config: VQVAEConfig, whole: VQVAECodec
) -> None:
    codec = CountingCodec(model, config, "counting")
    estimate = codec.separate(song(5000), ["bass"], whole.encode(song(5000)))
    np.testing.assert_array_equal(estimate, whole.separate(song(5000), ["bass"]))
    assert codec.encoded == 0


@pytest.mark.parametrize(
    "shape", [(3, 2, 3), (4, 1, 3), (4, 2, 2), (4, 2, 4), (4, 2)], ids=lambda s: str(list(s))
)
def test_codes_of_another_shape_are_refused(whole: VQVAECodec, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"codes are \[.*needs \[4, 2, 3\]"):
        whole.decode(np.zeros(shape, np.uint16), 2 * HOP)


@pytest.mark.parametrize(("code", "dtype"), [(8, np.uint16), (-1, np.int64)])
def test_codes_out_of_range_are_refused(whole: VQVAECodec, code: int, dtype: type) -> None:
    codes: np.ndarray = np.zeros((4, 2, 3), dtype)
    codes[2, 1, 1] = code
    with pytest.raises(UserError, match=f"a code is {code}"):
        whole.decode(codes, 2 * HOP)


def test_an_unknown_source_is_refused(whole: VQVAECodec) -> None:
    with pytest.raises(UserError, match="no source 'guitar': choose from vocals, bass"):
        whole.decode(np.zeros((4, 2, 3), np.uint16), 2 * HOP, ["bass", "guitar"])


def test_load_codec_reads_what_training_saves(
    model: VQVAE, config: VQVAEConfig, whole: VQVAECodec, tmp_path: Path
) -> None:
    halves = {name: tensor.half() for name, tensor in model.state_dict().items()}
    meta = {"stage": "vqvae", "config": asdict(config)}
    save_checkpoint(tmp_path / "model.safetensors", halves, meta)
    codec = load_codec(tmp_path, "cpu")
    assert (codec.sample_rate, codec.hop, codec.sources) == (44100, HOP, SOURCES)
    assert codec.frame_rate == 44100 / HOP
    assert (codec.num_codebooks, codec.cardinality) == (2, 8)
    assert len(codec.fingerprint) == 16
    codes = whole.encode(song(5000))
    agreement = (codec.encode(song(5000)) == codes).mean()
    assert agreement > 0.98  # half precision rounds the weights
    np.testing.assert_allclose(codec.decode(codes, 5000), whole.decode(codes, 5000), atol=1e-3)


def write_checkpoint(path: Path, model: VQVAE, config: VQVAEConfig, **entries: object) -> Path:
    meta = {"stage": "vqvae", "config": asdict(config), **entries}
    save_checkpoint(path, model.state_dict(), meta)
    return path


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"bass_removal": {"audible_bass": 0.3}}, 0.3),
        ({"bass_removal": {}}, BassRemoval.audible_bass),
        ({}, BassRemoval.audible_bass),
    ],
)
def test_the_level_of_an_audible_bass_travels_with_a_checkpoint(
    entries: dict[str, object],
    expected: float,
    model: VQVAE,
    config: VQVAEConfig,
    tmp_path: Path,
) -> None:
    path = write_checkpoint(tmp_path / "m.safetensors", model, config, **entries)
    assert load_codec(path).audible_bass == expected


@pytest.mark.parametrize(
    ("removal", "message"),
    [
        ({"audible_bass": -0.1}, r"m\.json .*'bass_removal\.audible_bass' must be from 0 to 1"),
        ({"audible_bass": "loud"}, r"m\.json .*'bass_removal\.audible_bass' must be a finite"),
        ({"audible": 0.1}, r"m\.json .*no setting 'bass_removal\.audible'"),
        (0.18, r"m\.json .*'bass_removal'"),
    ],
)
def test_a_wrong_level_of_an_audible_bass_is_refused(
    removal: object, message: str, model: VQVAE, config: VQVAEConfig, tmp_path: Path
) -> None:
    path = write_checkpoint(tmp_path / "m.safetensors", model, config, bass_removal=removal)
    with pytest.raises(UserError, match=message):
        load_codec(path)


def test_the_shipped_codec_says_when_a_bass_is_audible() -> None:
    assert json.loads(SHIPPED.with_suffix(".json").read_text())["bass_removal"] == {
        "audible_bass": 0.21
    }
