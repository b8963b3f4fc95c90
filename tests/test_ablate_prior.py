"""Variants of the prior: which there are, what they train, and a whole small `ablate-prior`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.codes.codec import CodeFormat
from shared.codes.song_codes import SongCodes
from shared.config import load_config
from shared.errors import UserError
from shared.song_figures import read_reports
from stage1_vqvae.codec import VQVAECodec
from stage1_vqvae.config import PRESETS as VQVAE_PRESETS
from stage1_vqvae.config import VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage2_prior.ablate import Recipe, ablate_prior
from stage2_prior.composer.features import FEATURES, ONSET, PITCH, REST, Hearing
from stage2_prior.composer.grid_notes import LOWEST
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.heard_line import most_probable_notes
from stage2_prior.model import Prior, load_prior
from stage2_prior.sampling import SamplingSettings
from stage2_prior.sampling_defaults import SamplingDefaults
from stage2_prior.variants import parts_to_train, sampled_variants, trained_variants
from tests.toy_songs import make_song, write_codes

SECONDS = 1.5
FACTS: dict[str, Any] = {
    "beats": [i * 0.5 for i in range(8)],
    "downbeats": [0.0, 2.0],
    "chords": [{"start": 0.0, "end": 4.0, "root": 9, "pitch_classes": [9, 0, 4]}],
    "bass_notes": [{"onset": float(i), "duration": 1.0, "pitch": 33} for i in range(3)],
}


def tiny(*overrides: str) -> PriorConfig:
    return load_config(PriorConfig, PRESETS, "tiny", overrides=overrides)


@pytest.fixture(scope="module")
def codec() -> VQVAECodec:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, VQVAE_PRESETS, "tiny", overrides=["model.hop=1024"])
    return VQVAECodec(VQVAE(config.model), config, fingerprint="codec")


def song(codec: VQVAECodec, name: str, split: str) -> SongCodes:
    shape = (4, codec.num_codebooks, codec.num_frames(110 * codec.hop))
    chance = np.random.default_rng(ord(name))
    views = {
        view: chance.integers(0, codec.cardinality, shape).astype(np.uint16)
        for view in ("mixture", "accompaniment", "alone")
    }
    return make_song(
        name, split, shape[2], num_samples=110 * codec.hop, views=views, song=FACTS, gain=2.0
    )


@pytest.fixture(scope="module")
def codes(codec: VQVAECodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = {"a": "train", "b": "valid", "c": "test", "d": "test"}
    songs = [song(codec, name, split) for name, split in splits.items()]
    return write_codes(tmp_path_factory.mktemp("codes"), songs, CodeFormat.of(codec))


def test_variants_are_those_that_differ_from_the_full_prior() -> None:
    tuned = SamplingSettings(**vars(SamplingDefaults()))
    names = [variant.name for variant in sampled_variants(tuned)]
    assert names[0] == "full"
    assert "without guidance by the song" in names
    used = replace(tuned, guidance=1.0, candidates=1)
    fewer = [variant.name for variant in sampled_variants(used)]
    assert {*names} - {*fewer} == {"without guidance by the song", "with one candidate"}
    assert len(trained_variants(tiny())) == 5
    kept = [v.name for v in trained_variants(tiny("composer.varying.soften=0"))]
    assert "trained without softening" not in kept


def test_a_variant_trains_only_what_differs() -> None:
    full = tiny()
    parts = {v.name: parts_to_train(full, v.config) for v in trained_variants(full) if v.config}
    assert parts["trained on the mixture"] == ("listener", "composer")
    assert parts["trained without softening"] == ("composer",)
    assert parts["trained with the whole history"] == ("performer",)


def test_the_heard_line_has_the_most_probable_note_of_each_frame() -> None:
    features = np.zeros((6, FEATURES), np.float32)
    features[:, REST] = 0.3
    features[1:5, PITCH.start + 4] = 0.6
    features[1:5, PITCH.start + 9] = 0.1
    features[[1, 3], ONSET] = 0.9
    notes = most_probable_notes(Hearing(features, np.zeros((6, 2), np.float32), 10.0))
    assert [(note.onset, note.duration, note.pitch) for note in notes] == [
        (0.1, pytest.approx(0.2), LOWEST + 4),
        (pytest.approx(0.3), pytest.approx(0.2), LOWEST + 4),
    ]


def test_a_whole_ablation_trains_the_variants_from_the_first_weights_of_the_full_prior(
    codes: Path, codec: VQVAECodec, tmp_path: Path
) -> None:
    only = ["without the composer", "hearing the mixture, with its bass", "trained on the mixture"]
    recipe = Recipe(tiny("composer.train.steps=2", "hearings=1"), device="cpu")
    asked = {"candidates": 2, "guidance": None}
    report = ablate_prior(codes, codec, tmp_path, recipe, only, asked, seconds=SECONDS)
    assert [row.name for row in report.comparison] == [
        "full",
        *only,
        "silence",
        "another song's bass",
        "true bass, a bar late",
        "true bass, from its codes",
    ]
    assert [difference.name for difference in report.differences] == only
    assert report.settings.candidates == 2
    full, variant = (
        load_prior(tmp_path / name).state_dict() for name in ("full", "trained-on-the-mixture")
    )
    moved = {name.split(".")[0] for name in full if not torch.equal(full[name], variant[name])}
    assert moved == {"listener", "composer"}
    torch.manual_seed(recipe.config.listener.train.seed)
    fresh = Prior(recipe.config.model, CodeFormat.of(codec), "new").state_dict()
    start = load_prior(tmp_path / "trained-on-the-mixture" / "start.safetensors").state_dict()
    assert all(
        torch.equal(start[name], full[name] if name.startswith("performer") else fresh[name])
        for name in start
    )
    content = json.loads((tmp_path / "report.json").read_text())
    assert list(content["by_song"]) == ["full", *only]
    assert list(read_reports([tmp_path])) == ["full", *only]
    made = {name: (tmp_path / name).read_text() for name in ("report.md", "report.json")}
    assert "| trained on the mixture |" in made["report.md"]
    ablate_prior(codes, codec, tmp_path, recipe, only, asked, seconds=SECONDS)
    assert made == {name: (tmp_path / name).read_text() for name in made}


def test_a_prior_that_is_given_is_not_trained(
    codes: Path, codec: VQVAECodec, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    prior = Prior(tiny().model, CodeFormat.of(codec), "given").eval()
    only = ["without note guidance"]
    ablate_prior(codes, codec, tmp_path, prior, only, {"candidates": 1}, seconds=SECONDS)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.md"}
    with pytest.raises(UserError, match=r"no variant 'trained on the mixture'.*'full', 'without"):
        ablate_prior(codes, codec, tmp_path, prior, ["trained on the mixture"], seconds=SECONDS)
