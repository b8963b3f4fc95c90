"""Training of stage 1: what validation reports, and a step of the recipe that ships."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.config import load_config
from shared.errors import UserError
from shared.metrics import sdr_windows
from shared.songs.cache import build_cache
from shared.sources import SOURCES
from stage1_vqvae.codec import VQVAECodec, load_codec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.model import VQVAE, Decoded, Reconstruction
from stage1_vqvae.quantizer import Softness, softness
from stage1_vqvae.spectral import analyse, mid_side, pad_to_frames
from stage1_vqvae.train import VQVAETask, summarise, train_vqvae, warn_of_collapse
from tests.conftest import WriteSong


def counts_of_entries(*used: tuple[int, int]) -> np.ndarray:
    """Make counts `[sources, 2, 64]` of codebooks in which so many entries are used equally."""
    counts = np.zeros((len(SOURCES), 2, 64), np.int64)
    for source, books in enumerate(used):
        for book, entries in enumerate(books):
            counts[source, book, :entries] = 3
    return counts


def test_validation_figures_golden_numbers() -> None:
    sdr = np.array([[1.0, 2.0, 6.0], [np.nan, 3.0, 5.0], [0.0, 0.0, 0.0], [np.nan] * 3])
    figures = summarise(sdr, counts_of_entries((64, 32), (16, 8), (4, 4), (64, 64)))
    assert np.isnan(figures.pop("sdr_other"))  # silent throughout
    assert figures == pytest.approx(
        {
            "score": 2.0,
            "sdr_vocals": 2.0,
            "sdr_bass": 4.0,
            "sdr_drums": 0.0,
            "perplexity_vocals": 48.0,
            "perplexity_bass": 12.0,
            "perplexity_drums": 4.0,
            "perplexity_other": 64.0,
            "min_perplexity_vocals": 32.0,
            "min_perplexity_bass": 8.0,
            "min_perplexity_drums": 4.0,
            "min_perplexity_other": 64.0,
            "usage_vocals": 0.75,
            "usage_bass": 12 / 64,
            "usage_drums": 4 / 64,
            "usage_other": 1.0,
        }
    )


def test_a_collapsed_codebook_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_collapse(counts_of_entries((64, 4), (64, 64), (64, 64), (64, 64)))
    assert capsys.readouterr().err == ""  # 4 of 64 is the least that is no collapse
    warn_of_collapse(counts_of_entries((64, 64), (64, 3), (64, 64), (1, 64)))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("warning: codebook 1 of bass has collapsed (perplexity 3.0 of 64)")
    assert second.startswith("warning: codebook 0 of other has collapsed (perplexity 1.0 of 64)")


class Copies(nn.Module):
    """Returns the targets it is given, and logits that have collapsed for absent sources only."""

    def __init__(self, stems: Tensor, presence: Tensor) -> None:
        super().__init__()
        self.stems, self.presence = stems, presence
        self.states: list[Softness] = []

    def forward(self, mixture: Tensor, selection: Tensor, state: Softness) -> Reconstruction:
        torch.testing.assert_close(mixture, self.stems.sum(1))
        self.states.append(state)
        one, other = ((x[..., None, None] * self.stems).sum(1) for x in (selection, 1 - selection))
        logits = torch.zeros(*self.presence.shape, 2, 8)
        logits[..., 0] = 50 * (1 - self.presence)[..., None]
        decoded = Decoded(one, other, spectrum(one), spectrum(other))
        return Reconstruction(decoded, logits[:, None])


def spectrum(audio: Tensor) -> Tensor:
    return analyse(pad_to_frames(mid_side(audio), 64), 64)


def test_the_loss_compares_selection_and_complement_with_their_targets(stem_folder: Path) -> None:
    overrides = ["loss.waveform=1", "loss.usage=1", "remix.absent=0.5"]
    config = load_config(VQVAEConfig, PRESETS, "tiny", overrides=overrides)
    task = VQVAETask(config, list(build_cache(stem_folder).split("train")), [])
    batch = task.make_batch(3, 0, 1)
    assert set(batch["presence"].unique().tolist()) == {0.0, 1.0}
    model = Copies(batch["stems"], batch["presence"])
    losses = task.loss(model, batch, 3)
    for term in ("waveform", "stft", "magnitude", "usage"):
        assert losses[term].item() == pytest.approx(0, abs=1e-5), term
    assert losses["snr"] < -0.9  # silent selections bring it above the -3 of others
    assert model.states == [softness(config.quantizer, 3 / config.train.steps)]


def test_a_head_without_weight_costs_nothing(stem_folder: Path) -> None:
    names = ("mask", "pitch", "level")
    heads = [f"model.{name}_head=true" for name in names]
    for lost in names:
        weights = [f"loss.{name}={0 if name == lost else 0.1}" for name in names]
        config = load_config(VQVAEConfig, PRESETS, "tiny", overrides=[*heads, *weights])
        task = VQVAETask(config, list(build_cache(stem_folder).split("train")), [])
        losses = task.loss(task.model, task.make_batch(0, 0, 1), 0)
        assert {name for name in names if name in losses} == {*names} - {lost}
        losses["loss"].backward()
        untouched = {name for name, p in task.model.named_parameters() if p.grad is None}
        frozen = {name for name, p in task.model.named_parameters() if not p.requires_grad}
        assert untouched == frozen
        assert {name.partition(".")[0] for name in frozen} == {f"{lost}_head"}


def test_validation_decodes_each_source_of_the_mixture(stem_folder: Path) -> None:
    config = load_config(VQVAEConfig, PRESETS, "tiny", overrides=["validation.seconds=1"])
    cache = build_cache(stem_folder)
    task = VQVAETask(config, list(cache.split("train")), list(cache.split("valid")))
    figures = task.validate(task.model)
    assert isinstance(task.model, VQVAE)
    codec = VQVAECodec(task.model, config, "same")
    (stems,) = (song.middle(1.0) for song in cache.split("valid"))
    codes = codec.encode(stems.sum(0))
    decoded = np.stack([codec.decode(codes, 44100, [source]) for source in SOURCES])
    sdr = sdr_windows(stems, decoded, 44100)[:, 0]
    assert [figures[f"sdr_{source}"] for source in SOURCES] == pytest.approx(sdr.tolist())
    assert figures["score"] == pytest.approx(sdr.mean())
    used = [[len(np.unique(book)) / 8 for book in books] for books in codes]
    usage = [figures[f"usage_{source}"] for source in SOURCES]
    assert usage == pytest.approx(np.mean(used, axis=1).tolist())


def test_training_needs_a_validation_song(write_song: WriteSong, tmp_path: Path) -> None:
    write_song(tmp_path / "data" / "train" / "only")
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    with pytest.raises(UserError, match="holds no validation song"):
        train_vqvae(tmp_path / "data", tmp_path / "out", config, device="cpu")


def test_a_resumed_run_must_share_the_settings(stem_folder: Path) -> None:
    """The defaults of bass removal, which a later version may change, do not count."""
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    task = VQVAETask(config, list(build_cache(stem_folder).split("train")), [])
    assert task.identity() == {"config": asdict(config)}
    assert task.metadata().keys() == {"config", "bass_removal"}


def test_the_bar_shows_score_and_lowest_perplexity(stem_folder: Path) -> None:
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    task = VQVAETask(config, list(build_cache(stem_folder).split("train")), [])
    figures = summarise(np.ones((4, 1)), counts_of_entries((64, 64), (64, 8), (64, 64), (32, 64)))
    assert task.headline(figures) == "score 1.000, lowest perplexity 8.0"


def test_a_step_of_the_shipped_recipe(stem_folder: Path, tmp_path: Path) -> None:
    """bf16, Muon, tied logits and straight-through together, with small layers on little audio."""
    preset = load_config(VQVAEConfig, PRESETS, "compact")
    assert preset.train.precision == "bf16-mixed"
    assert preset.train.optimizer == "muon"
    assert preset.model.tied_logits
    assert preset.quantizer.hard_from == 0
    config = replace(
        preset,
        model=replace(
            preset.model, encoder_width=16, encoder_blocks=1, decoder_width=16, decoder_blocks=1
        ),
        remix=replace(preset.remix, segment_seconds=0.5),
        validation=replace(preset.validation, songs=1, seconds=1.0),
        train=replace(preset.train, steps=1, batch_size=2, log_every=1),
    )
    train_vqvae(stem_folder, tmp_path, config, device="cpu")
    for name in ("model", "state"):
        weights = load_file(tmp_path / f"{name}.safetensors")
        assert all(tensor.isfinite().all() for tensor in weights.values()), name
    logged, validated = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert np.isfinite(logged["loss"])
    assert np.isfinite(validated["score"])
    codec = load_codec(tmp_path)
    codes = codec.encode(np.zeros((2, 5000), np.float32))
    assert np.isfinite(codec.decode(codes, 5000)).all()
