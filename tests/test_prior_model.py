from pathlib import Path

import pytest
import torch

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import SOURCES
from shared.training.checkpoint import fingerprint, save_checkpoint
from stage2_prior.config import PRESETS, ModelConfig, PriorConfig
from stage2_prior.model import MASK, PAD, Prior, load_prior, prior_metadata

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
def test_all_frames_hear_the_whole_song_through_the_encoder(prior: Prior) -> None:
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


def test_no_prior_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        load_prior(tmp_path)


def test_wrong_number_of_delays() -> None:
    with pytest.raises(UserError, match="delays"):
        Prior(ModelConfig(dim=16, heads=2, delays=(0, 1)), FORMAT, "untrained")
