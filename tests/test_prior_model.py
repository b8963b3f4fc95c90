"""The prior: three networks in one checkpoint."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.errors import UserError
from shared.training.checkpoint import fingerprint, save_checkpoint
from stage2_prior.balance import BalanceRange
from stage2_prior.composer.features import FEATURES
from stage2_prior.composer.network import ComposerConfig
from stage2_prior.config import PARTS, PRESETS, ModelConfig, PriorConfig
from stage2_prior.listener.network import ListenerConfig
from stage2_prior.model import SHIPPED, Prior, load_prior, prior_metadata
from stage2_prior.performer.network import PerformerConfig
from stage2_prior.performer.score import ROWS
from stage2_prior.sampling import SamplingSettings, generate
from stage2_prior.sampling_defaults import SamplingDefaults
from tests.toy_songs import FORMAT


def make(preset: str = "tiny", format: CodeFormat = FORMAT) -> Prior:
    torch.manual_seed(0)
    return Prior(load_config(PriorConfig, PRESETS, preset).model, format, "untrained").eval()


@pytest.fixture(scope="module")
def prior() -> Prior:
    return make()


def test_the_parts_are_networks_of_the_sizes_asked_for() -> None:
    config = ModelConfig(
        ListenerConfig(dim=24, heads=2, depth=1, window_seconds=4),
        ComposerConfig(dim=32, heads=2, depth=2, reader_depth=1, choice_dim=8, bars=4),
        PerformerConfig(dim=16, heads=2, depth=1, window_seconds=3),
    )
    made = Prior(config, FORMAT, "untrained")
    assert tuple(name for name, _ in made.named_children()) == PARTS
    assert made.listener.heads.in_features == 24
    assert made.composer.pitch_head.in_features == 32
    assert made.performer.code_head.in_features == 16
    assert made.listener.window == round(4 * FORMAT.frame_rate)
    assert made.performer.window == round(3 * FORMAT.frame_rate)


def test_the_codes_decide_the_sizes_that_belong_to_them() -> None:
    format = replace(FORMAT, codebooks=5, cardinality=32)
    made = make(format=format)
    assert made.listener.dropped == 32
    assert made.performer.pattern.delays == (0, 0, 1, 1, 2)
    assert made.performer.code_head.out_features == 5 * 32


def test_a_prior_of_the_compact_preset_fits_its_budget() -> None:
    numbers = sum(parameter.numel() for parameter in make("compact").parameters())
    assert 15 < 2 * numbers / 1e6 < 30  # MB as fp16


def outputs(prior: Prior) -> Iterator[torch.Tensor]:
    """What each part makes of some input."""
    chance = np.random.default_rng(0)
    codes = torch.from_numpy(chance.integers(0, 64, (1, 4, 8, 30)))
    yield prior.listener(codes).note
    features = torch.from_numpy(chance.random((1, 96, FEATURES), dtype=np.float32))
    place = torch.arange(96)[None] % 48
    yield prior.composer.reader(features, place, torch.tensor([False]))
    yield prior.performer(torch.ones(1, ROWS, 30, dtype=torch.long), codes[:, 0])


@torch.no_grad()
def test_a_checkpoint_in_half_precision_loads_as_the_same_prior(
    prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    # Positions that were rounded to half precision would move.
    assert not any("inv_freq" in name for name in prior.state_dict())
    half = {name: weight.half() for name, weight in prior.state_dict().items()}
    save_checkpoint(path, half, {"stage": "prior", **prior_metadata(prior)})
    loaded = load_prior(path)
    assert (loaded.config, loaded.format) == (prior.config, prior.format)
    assert loaded.fingerprint == fingerprint(half)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    for before, after in zip(outputs(prior), outputs(loaded), strict=True):
        assert after.dtype == torch.float32
        torch.testing.assert_close(after, before, atol=0.02, rtol=0.02)
    monkeypatch.setattr("stage2_prior.model.SHIPPED", path)
    assert load_prior().fingerprint == loaded.fingerprint


def test_a_loaded_prior_writes_what_it_wrote_before(prior: Prior, tmp_path: Path) -> None:
    loaded = load_prior(write_checkpoint(prior, tmp_path / "m.safetensors"))
    song = np.random.default_rng(0).integers(0, 64, (4, 8, 100))
    settings = SamplingSettings(candidates=2)
    before, after = (generate(each, song, settings) for each in (prior, loaded))
    assert np.array_equal(before.notes, after.notes)
    assert np.array_equal(before.codes, after.codes)


def write_checkpoint(prior: Prior, path: Path, **changes: Any) -> Path:
    """Write a checkpoint; entries of its JSON are replaced, or removed by None."""
    meta = {"stage": "prior", **prior_metadata(prior), **changes}
    save_checkpoint(path, prior.state_dict(), {k: v for k, v in meta.items() if v is not None})
    return path


def test_tuned_defaults_travel_with_a_checkpoint(prior: Prior, tmp_path: Path) -> None:
    sampling = SamplingDefaults(temperature=0.5, top_k=7, guidance=4.0, note_guidance=1.5)
    balance = BalanceRange(-9.0, -3.5)
    tuned = Prior(prior.config, prior.format, "test", sampling, balance)
    loaded = load_prior(write_checkpoint(tuned, tmp_path / "tuned.safetensors"))
    assert (loaded.sampling, loaded.balance) == (sampling, balance)
    path = write_checkpoint(tuned, tmp_path / "old.safetensors", sampling=None, balance=None)
    assert load_prior(path).sampling == SamplingDefaults()
    assert load_prior(path).balance == BalanceRange()


def test_a_part_of_the_tuned_defaults_suffices(prior: Prior, tmp_path: Path) -> None:
    path = write_checkpoint(prior, tmp_path / "m.safetensors", sampling={"guidance": 2})
    assert load_prior(path).sampling == SamplingDefaults(guidance=2.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling": {"guidance": "strong"}}, r"m\.json .*'sampling\.guidance' must be a finite"),
        ({"sampling": {"guidance": -1}}, r"m\.json .*the guidance is -1"),
        ({"sampling": {"top_p": 0}}, r"m\.json .*top-p is 0"),
        ({"sampling": {"seed": 3}}, r"m\.json .*no setting 'sampling\.seed'"),
        ({"sampling": [0.7]}, r"m\.json .*'sampling'"),
        ({"balance": {"softest_db": -1, "loudest_db": -4}}, r"m\.json .*from -1\.0 dB to -4\.0 dB"),
        ({"balance": {"loudest_db": 90}}, r"m\.json .*between -60 and 60 dB"),
        ({"balance": {"quiet": 1}}, r"m\.json .*no setting 'balance\.quiet'"),
        ({"model": None}, r"m\.json .*'model'"),
        ({"model": {"dim": 16}}, r"m\.json .*no setting 'model\.dim'"),
        ({"model": {"composer": {"dim": 7}}}, r"m\.json .*'model\.composer\.dim'"),
        ({"codes": None}, r"m\.json .*'codes'"),
        ({"codes": {"codebooks": 8}}, r"m\.json .*'codes\.sources' is missing"),
    ],
)
def test_a_damaged_description_is_refused(
    prior: Prior, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write_checkpoint(prior, tmp_path / "m.safetensors", **changes)
    with pytest.raises(UserError, match=message) as caught:
        load_prior(path)
    assert "\n" not in str(caught.value)


def test_the_shipped_prior_says_how_it_is_to_be_sampled() -> None:
    meta = json.loads(SHIPPED.with_suffix(".json").read_text())
    assert set(meta["sampling"]) == set(asdict(SamplingDefaults()))
    assert set(meta["balance"]) == set(asdict(BalanceRange()))


def test_no_prior_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        load_prior(tmp_path)


def test_a_checkpoint_of_one_part_is_no_prior(prior: Prior, tmp_path: Path) -> None:
    path = write_checkpoint(prior, tmp_path / "m.safetensors", stage="listener")
    with pytest.raises(UserError, match="listener"):
        load_prior(path)


def test_weights_of_other_sizes_are_refused(prior: Prior, tmp_path: Path) -> None:
    other = replace(prior.config, composer=replace(prior.config.composer, choice_dim=16))
    path = write_checkpoint(prior, tmp_path / "m.safetensors", model=asdict(other))
    with pytest.raises(UserError, match="do not fit"):
        load_prior(path)


@pytest.mark.parametrize("part", ["listener", "performer"])
def test_a_window_of_less_than_two_frames_is_refused(part: str) -> None:
    """The shortest window that a setting allows is 1 s; frames may be longer."""
    sizes: Any = {"listener": ListenerConfig, "performer": PerformerConfig}[part]
    config = ModelConfig(**{part: sizes(window_seconds=2.0)})
    for hop in (3 * FORMAT.sample_rate, 5 * FORMAT.sample_rate):  # rounded to 1 frame and to none
        message = rf"'model\.{part}\.window_seconds' is 2 s, .*set {2 * hop // FORMAT.sample_rate} "
        with pytest.raises(UserError, match=message):
            Prior(config, replace(FORMAT, hop=hop), "untrained")
    assert Prior(config, replace(FORMAT, hop=FORMAT.sample_rate), "untrained")


def test_wrong_number_of_delays() -> None:
    with pytest.raises(UserError, match="delays"):
        Prior(ModelConfig(performer=PerformerConfig(delays=(0, 1))), FORMAT, "untrained")
