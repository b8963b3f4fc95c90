"""Training of stage 1: what validation reports, and a step of the recipe that ships."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from shared.config import load_config
from shared.songs.cache import build_cache
from shared.sources import SOURCES
from stage1_vqvae.codec import load_codec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.train import VQVAETask, summarise, train_vqvae


def counts_of_entries(*used: tuple[int, int]) -> np.ndarray:
    """Counts [sources, 2, 64]: in each source, so many entries of either codebook occur equally often."""
    counts = np.zeros((len(SOURCES), 2, 64), np.int64)
    for source, books in enumerate(used):
        for book, entries in enumerate(books):
            counts[source, book, :entries] = 3
    return counts


def test_validation_figures_golden_numbers(capsys: pytest.CaptureFixture[str]) -> None:
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
    assert capsys.readouterr().err == ""  # 4 of 64 is the least that is no collapse


def test_a_collapsed_codebook_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    summarise(np.ones((4, 1)), counts_of_entries((64, 64), (64, 3), (64, 64), (1, 64)))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("warning: codebook 1 of bass has collapsed (perplexity 3.0 of 64)")
    assert second.startswith("warning: codebook 0 of other has collapsed (perplexity 1.0 of 64)")


def test_the_bar_shows_score_and_lowest_perplexity(stem_folder: Path) -> None:
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    task = VQVAETask(config, list(build_cache(stem_folder).split("train")), [])
    figures = summarise(np.ones((4, 1)), counts_of_entries((64, 64), (64, 8), (64, 64), (32, 64)))
    assert task.headline(figures) == "score 1.000, lowest perplexity 8.0"


def test_a_step_of_the_shipped_recipe(stem_folder: Path, tmp_path: Path) -> None:
    """bf16, Muon, tied logits and straight-through together, on little audio."""
    preset = load_config(VQVAEConfig, PRESETS, "compact")
    assert preset.train.precision == "bf16-mixed"
    assert preset.train.optimizer == "muon"
    assert preset.model.tied_logits
    assert preset.quantizer.hard_from == 0
    config = replace(
        preset,
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
