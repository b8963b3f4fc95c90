"""The prior's network, and its checkpoints."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import SOURCES
from shared.training.checkpoint import fingerprint, save_checkpoint
from stage2_prior.balance import BalanceRange
from stage2_prior.config import PRESETS, ModelConfig, PriorConfig
from stage2_prior.model import MASK, PAD, SHIPPED, Prior, load_prior, prior_metadata
from stage2_prior.sampling_defaults import SamplingDefaults

FORMAT = CodeFormat(SOURCES, 8, 64, 44100, 1024, "codec")
FRAMES = 20


@pytest.fixture(scope="module")
def prior() -> Prior:
    torch.manual_seed(0)
    return Prior(load_config(PriorConfig, PRESETS, "tiny").model, FORMAT, "untrained").eval()


def song(prior: Prior) -> tuple[torch.Tensor, torch.Tensor]:
    """Accompaniment `[2, 4, 8, F]` and bass tokens `[2, 9, F]`."""
    generator = torch.Generator().manual_seed(1)
    accompaniment = torch.randint(0, prior.dropped, (2, 4, 8, FRAMES), generator=generator)
    notes = torch.randint(0, NoteVocabulary.size, (2, 1, FRAMES), generator=generator)
    codes = torch.randint(0, prior.dropped, (2, 8, FRAMES), generator=generator)
    return accompaniment, torch.cat((notes, codes), dim=1)


def test_shapes(prior: Prior) -> None:
    logits = prior(*song(prior))
    assert logits.note.shape == logits.encoder.note.shape == (2, FRAMES, NoteVocabulary.size)
    assert logits.codes.shape == (2, FRAMES, 8, 64)


@torch.no_grad()
def test_a_token_changes_no_prediction_before_it_and_some_after(prior: Prior) -> None:
    accompaniment, tokens = song(prior)
    for stream, delay in enumerate(prior.pattern.delays):
        changed = tokens.clone()
        changed[:, stream, 10] = (changed[:, stream, 10] + 1) % 64
        old, new = prior(accompaniment, tokens), prior(accompaniment, changed)
        step = 10 + delay  # at which the token is predicted
        assert torch.equal(old.note[:, : step + 1], new.note[:, : step + 1])
        assert not torch.equal(old.note[:, step + 1 :], new.note[:, step + 1 :])
        for h, own in enumerate(prior.pattern.delays[1:]):
            known = step + 1 - own  # frames whose code h is predicted no later
            assert torch.equal(old.codes[:, :known, h], new.codes[:, :known, h])
            assert not torch.equal(old.codes[:, known:, h], new.codes[:, known:, h])


@torch.no_grad()
def test_codes_of_a_frame_follow_its_note(prior: Prior) -> None:
    accompaniment, tokens = song(prior)
    changed = tokens.clone()
    changed[:, 0, 10] = (changed[:, 0, 10] + 1) % 64
    old, new = prior(accompaniment, tokens).codes, prior(accompaniment, changed).codes
    assert (old[:, 10] != new[:, 10]).any(-1).all()


@torch.no_grad()
def test_the_encoder_reads_the_whole_song_for_every_frame(prior: Prior) -> None:
    accompaniment, tokens = song(prior)
    changed = accompaniment.clone()
    changed[:, 2, :, -1] = (changed[:, 2, :, -1] + 1) % 64
    old, new = prior(accompaniment, tokens), prior(changed, tokens)
    assert (old.encoder.note[:, 0] != new.encoder.note[:, 0]).any()
    assert (old.note[:, 0] != new.note[:, 0]).any()


@torch.no_grad()
def test_the_song_reaches_the_codes_through_the_notes_alone(prior: Prior) -> None:
    accompaniment, tokens = song(prior)
    old, new = prior(accompaniment, tokens), prior(accompaniment.flip(0), tokens)
    assert torch.equal(old.codes, new.codes)
    assert not torch.equal(old.note, new.note)


@torch.no_grad()
def test_note_is_the_product_of_two_experts(prior: Prior) -> None:
    accompaniment, tokens = song(prior)
    before = prior(accompaniment, tokens)
    prior.encoder_note_head.bias[5] += 1
    after = prior(accompaniment, tokens)
    prior.encoder_note_head.bias[5] -= 1
    difference = after.note - before.note
    assert torch.allclose(difference[..., 5], torch.ones(2, FRAMES), atol=1e-5)
    assert torch.allclose(after.codes, before.codes)


@torch.no_grad()
def test_dropped_sources_and_hidden_history_are_tokens_of_their_own(prior: Prior) -> None:
    accompaniment, tokens = song(prior)
    full = prior(accompaniment, tokens).note
    for source in range(4):
        without = accompaniment.clone()
        without[:, source] = prior.dropped
        assert not torch.allclose(full, prior(without, tokens).note)
    hidden = prior(accompaniment, torch.full_like(tokens, MASK)).note
    padded = prior(accompaniment, torch.full_like(tokens, PAD)).note
    assert not torch.allclose(hidden, padded)


def test_compact_fits_its_budget() -> None:
    prior = Prior(load_config(PriorConfig, PRESETS, "compact").model, FORMAT, "untrained")
    megabytes = 2 * sum(p.numel() for p in prior.parameters()) / 1e6  # as fp16
    assert 12 < megabytes < 16
    assert prior.window == 517


def test_checkpoint_in_half_precision_loads_as_the_same_model(
    prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    assert not any("inv_freq" in name for name in prior.state_dict())
    half = {name: weight.half() for name, weight in prior.state_dict().items()}
    save_checkpoint(path, half, {"stage": "prior", **prior_metadata(prior)})
    loaded = load_prior(path)
    assert loaded.format == prior.format
    assert loaded.fingerprint == fingerprint(half)
    assert not loaded.training
    inputs = song(prior)
    assert torch.allclose(loaded(*inputs).codes, prior(*inputs).codes, atol=0.02)
    monkeypatch.setattr("stage2_prior.model.SHIPPED", path)
    assert torch.equal(load_prior()(*inputs).codes, loaded(*inputs).codes)


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


def test_wrong_number_of_delays() -> None:
    with pytest.raises(UserError, match="delays"):
        Prior(ModelConfig(dim=16, heads=2, delays=(0, 1)), FORMAT, "untrained")
