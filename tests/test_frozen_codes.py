"""A codec that learns with its codes frozen makes the codes of the codec that it started from."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.errors import UserError
from shared.sources import BASS, SOURCES
from shared.training.checkpoint import load_checkpoint, save_checkpoint
from stage1_vqvae.codec import VQVAECodec, load_codec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.decoder import Decoder
from stage1_vqvae.initial import start_from
from stage1_vqvae.model import VQVAE
from stage1_vqvae.train import train_vqvae

FROZEN = ("freeze_codes=true", "loss.usage=0.0", "loss.pitch=0.0")
MASKS = ("model.mask_head=true", "loss.mask=1.0")


def tiny(*overrides: str) -> VQVAEConfig:
    return load_config(VQVAEConfig, PRESETS, "tiny", overrides=[*MASKS, *overrides])


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((2, samples)).astype(np.float32)


@pytest.fixture(scope="module")
def first(stem_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec that was trained as a whole."""
    out = tmp_path_factory.mktemp("first")
    return train_vqvae(stem_folder, out, tiny(), device="cpu")


def test_the_codes_and_their_name_stay(first: Path, stem_folder: Path, tmp_path: Path) -> None:
    second = train_vqvae(stem_folder, tmp_path / "2", tiny(*FROZEN), device="cpu", init_from=first)
    before, after = load_codec(first), load_codec(second)
    song = noise(30_000)
    codes = before.encode(song)
    np.testing.assert_array_equal(after.encode(song), codes)
    assert after.fingerprint == before.fingerprint
    assert np.abs(after.decode(codes, 30_000) - before.decode(codes, 30_000)).max() > 1e-4
    assert np.abs(after.separate(song) - before.separate(song)).max() > 1e-6
    old, new = (load_checkpoint(path, "vqvae") for path in (first, second))
    assert new.meta["fingerprint"] != old.meta["fingerprint"]
    moved = {name for name in old.weights if not torch.equal(old.weights[name], new.weights[name])}
    assert {name.split(".")[0] for name in moved} == {"decoder", "mask_head"}
    # A codec that starts from the second one goes on with the codes of the first.
    third = train_vqvae(stem_folder, tmp_path / "3", tiny(*FROZEN), device="cpu", init_from=second)
    assert load_codec(third).fingerprint == before.fingerprint


def test_without_a_loss_of_sound_the_masks_alone_learn(
    first: Path, stem_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = Decoder.forward

    def only_to_validate(decoder: Decoder, *inputs: torch.Tensor) -> torch.Tensor:
        assert not decoder.training
        assert not any(weight.requires_grad for weight in decoder.parameters())
        return decode(decoder, *inputs)

    silent = [f"loss.{term}=0.0" for term in ("waveform", "stft", "snr", "magnitude")]
    config = tiny(*FROZEN, *silent)
    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "forward", only_to_validate)
        second = train_vqvae(stem_folder, tmp_path, config, device="cpu", init_from=first)
    old, new = (load_checkpoint(path, "vqvae") for path in (first, second))
    moved = {name for name in old.weights if not torch.equal(old.weights[name], new.weights[name])}
    assert {name.split(".")[0] for name in moved} == {"mask_head"}
    song = noise(30_000)
    before, after = load_codec(first), load_codec(second)
    np.testing.assert_array_equal(
        after.decode(after.encode(song), 30_000), before.decode(before.encode(song), 30_000)
    )
    assert np.abs(after.separate(song) - before.separate(song)).max() > 1e-6
    metrics = new.meta["metrics"]
    of_sources = [metrics[f"masked_{source}"] for source in SOURCES]
    assert metrics["score"] == metrics["masked"] == pytest.approx(np.mean(of_sources))
    assert metrics["score"] != pytest.approx(np.mean([metrics[f"sdr_{s}"] for s in SOURCES]))


def test_without_frozen_codes_a_codec_has_a_name_of_its_own(
    first: Path, stem_folder: Path, tmp_path: Path
) -> None:
    second = train_vqvae(stem_folder, tmp_path, tiny(), device="cpu", init_from=first)
    assert "codes" not in json.loads(second.with_suffix(".json").read_text())
    assert load_codec(second).fingerprint != load_codec(first).fingerprint


def test_new_blocks_of_the_mask_head_change_nothing_at_first(first: Path) -> None:
    before = load_codec(first)
    config = tiny("model.mask_blocks=2")
    torch.manual_seed(1)
    model = VQVAE(config.model)
    start_from(model, load_checkpoint(first, "vqvae"))
    song = noise(30_000)
    after = VQVAECodec(model, config, "new").separate(song)
    np.testing.assert_allclose(after, before.separate(song), atol=1e-6)
    assert model.mask_head is not None
    assert sum(weight.numel() for weight in model.mask_head.blocks.parameters()) > 0


def test_a_new_level_head_leaves_the_codec_as_it_is(first: Path) -> None:
    config = tiny("model.level_head=true")
    model = VQVAE(config.model)
    start_from(model, load_checkpoint(first, "vqvae"))
    song = noise(30_000)
    codes = load_codec(first).encode(song)
    assert np.array_equal(VQVAECodec(model, config, "new").encode(song), codes)


def test_a_new_readout_of_the_bass_changes_no_code_at_first(first: Path) -> None:
    config = tiny("model.bass_blocks=2")
    torch.manual_seed(1)
    model = VQVAE(config.model)
    song = noise(30_000)
    codes = load_codec(first).encode(song)
    assert not np.array_equal(VQVAECodec(model, config, "new").encode(song), codes)
    start_from(model, load_checkpoint(first, "vqvae"))
    assert np.array_equal(VQVAECodec(model, config, "new").encode(song), codes)


def test_the_bass_is_learned_anew_and_all_other_codes_stay(
    first: Path, stem_folder: Path, tmp_path: Path
) -> None:
    frozen = ("model.bass_blocks=1", "freeze_codes=true", "relearn_bass=true", "loss.mask=0")
    learning = ("train.steps=8", "train.learning_rate=0.05")
    config = tiny(*frozen, *learning, "model.level_head=true", "loss.level=1")
    second = train_vqvae(stem_folder, tmp_path, config, device="cpu", init_from=first)
    before, after = load_codec(first), load_codec(second)
    assert after.fingerprint != before.fingerprint
    song = noise(30_000)
    same = (after.encode(song) == before.encode(song)).mean((1, 2))
    assert same[BASS] < 0.95
    assert np.all(np.delete(same, BASS) == 1)
    np.testing.assert_array_equal(after.separate(song), before.separate(song))
    old, new = (load_checkpoint(path, "vqvae").weights for path in (first, second))
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert {name.split(".")[0] for name in moved} == {"decoder"}


def test_codes_of_a_bass_with_blocks_in_chunks_are_those_of_the_whole() -> None:
    config = tiny("model.bass_blocks=2")
    torch.manual_seed(2)
    model = VQVAE(config.model)
    assert model.encoder.bass is not None
    for block in model.encoder.bass.blocks:
        torch.nn.init.ones_(block.scale)  # type: ignore[arg-type]
    song = noise(40_000)
    whole = VQVAECodec(model, config, "toy").encode(song)
    pieces = VQVAECodec(model, config, "toy", chunk_frames=5).encode(song)
    np.testing.assert_array_equal(pieces, whole)


@pytest.mark.parametrize(
    "wrong",
    [
        ("relearn_bass=true", "model.bass_blocks=1"),
        ("relearn_bass=true", "freeze_codes=true"),
    ],
)
def test_a_bass_is_learned_anew_by_blocks_of_its_own_beside_frozen_codes(
    wrong: tuple[str, ...],
) -> None:
    with pytest.raises(UserError, match=r"needs 'freeze_codes=true' and a 'model.bass_blocks'"):
        tiny(*wrong)


def test_masks_of_blocks_in_chunks_are_those_of_the_whole() -> None:
    config = tiny("model.mask_blocks=2")
    torch.manual_seed(2)
    model = VQVAE(config.model)
    assert model.mask_head is not None
    torch.nn.init.normal_(model.mask_head.readout.weight)
    for block in model.mask_head.blocks:
        torch.nn.init.ones_(block.scale)  # type: ignore[arg-type]
    song = noise(40_000)
    whole = VQVAECodec(model, config, "toy").separate(song)
    pieces = VQVAECodec(model, config, "toy", chunk_frames=5).separate(song)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_frozen_codes_need_a_trained_codec(stem_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"keeps the codes of a trained codec: name it with --init"):
        train_vqvae(stem_folder, tmp_path, tiny(*FROZEN), device="cpu")


def test_other_settings_of_the_codes_are_refused(
    first: Path, stem_folder: Path, tmp_path: Path
) -> None:
    config = tiny(*FROZEN, "model.sample_rate=48000")
    with pytest.raises(UserError, match=r"the encoder, the codebooks or the frames .* are others"):
        train_vqvae(stem_folder, tmp_path, config, device="cpu", init_from=first)


def test_other_sizes_than_those_of_the_mask_heads_blocks_are_refused(
    first: Path, stem_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"they are of other sizes"):
        train_vqvae(
            stem_folder, tmp_path, tiny("model.decoder_width=24"), device="cpu", init_from=first
        )


@pytest.mark.parametrize("term", ["usage", "pitch", "level"])
def test_losses_of_the_codes_alone_are_refused(term: str) -> None:
    head = [] if term == "usage" else [f"model.{term}_head=true"]
    with pytest.raises(UserError, match=rf"leaves 'loss.{term}' nothing to train: set it to 0"):
        tiny(*FROZEN, *head, f"loss.{term}=0.1")


def test_a_wrong_format_of_the_codes_is_refused(first: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(first, "vqvae")
    path = tmp_path / "bad.safetensors"
    save_checkpoint(path, checkpoint.weights, checkpoint.meta | {"codes": {"fingerprint": 3}})
    with pytest.raises(UserError, match=r"bad\.json does not fit this version: 'codes\."):
        load_codec(path)
