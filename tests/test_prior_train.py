"""Training of the prior: what the loss is made of, how it is validated, and what a run leaves."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from stage2_prior.balance import BalanceRange
from stage2_prior.config import PRESETS, PriorConfig
from stage2_prior.likelihood import Bits, EncoderAccuracy, Likelihood
from stage2_prior.model import load_prior
from stage2_prior.sampling import SamplingSettings, generate
from stage2_prior.sampling_defaults import SamplingDefaults
from stage2_prior.sequences import UNKNOWN, Corpus, SongTokens, load_corpus, whole_windows
from stage2_prior.train import (
    PriorTask,
    _encoder_metrics,
    _likelihood_metrics,
    another_song,
    train_prior,
)
from tests.toy_songs import FORMAT, HOP, WINDOW, make_song, write_codes

CHORDS = [{"start": 0.0, "end": 0.9, "root": 7}, {"start": 0.9, "end": 9.0, "root": 2}]


def tiny(*overrides: str) -> PriorConfig:
    return load_config(PriorConfig, PRESETS, "tiny", overrides=overrides)


def corpus(*splits: str, chords: bool = True) -> Corpus:
    """One song for each of the splits."""
    facts = {"chords": CHORDS} if chords else None
    songs = [
        make_song(name, split, song=facts) for name, split in zip("abcd", splits, strict=False)
    ]
    return Corpus(tuple(SongTokens.of(song) for song in songs), FORMAT)


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    """Two training songs and two for validation."""
    splits = {"a": "train", "b": "train", "c": "valid", "d": "valid"}
    songs = [make_song(name, split) for name, split in splits.items()]
    return write_codes(tmp_path / "codes", songs)


@pytest.mark.parametrize(
    ("note", "encoder_note", "encoder_root"),
    [(0, 0, 0), (3, 0, 0), (0, 5, 0), (0, 0, 7), (1, 2, 3)],
)
def test_the_loss_is_the_weighted_sum_of_its_parts(
    note: float, encoder_note: float, encoder_root: float
) -> None:
    task = PriorTask(
        corpus("train"),
        tiny(
            f"data.note_weight={note}",
            f"data.encoder_note_weight={encoder_note}",
            f"data.encoder_root_weight={encoder_root}",
        ),
    )
    losses = task.loss(task.model, task.make_batch(0, 0, 1), 0)
    assert losses["encoder_root_bits"] > 1
    bits = (
        losses["code_bits"]
        + note * losses["note_bits"]
        + encoder_note * losses["encoder_note_bits"]
        + encoder_root * losses["encoder_root_bits"]
    )
    assert losses["loss"].item() == pytest.approx(float(bits) * math.log(2), rel=1e-5)


@pytest.mark.parametrize(("encoder_note", "encoder_root"), [(2, 0), (0, 3)])
def test_the_loss_of_the_encoder_alone(encoder_note: float, encoder_root: float) -> None:
    weights = (
        f"data.encoder_note_weight={encoder_note}",
        f"data.encoder_root_weight={encoder_root}",
    )
    task = PriorTask(corpus("train"), tiny("data.encoder_only=true", *weights))
    losses = task.loss(task.model, task.make_batch(0, 0, 1), 0)
    assert "code_bits" not in losses
    bits = encoder_note * losses["encoder_note_bits"] + encoder_root * losses["encoder_root_bits"]
    assert losses["loss"].item() == pytest.approx(float(bits) * math.log(2), rel=1e-5)


def test_frames_that_weigh_nothing_do_not_change_the_loss() -> None:
    task = PriorTask(corpus("train"), tiny())
    batch = task.make_batch(0, 0, 1)
    for weight in ("note_weight", "code_weight"):
        batch[weight][:, 40:] = 0
    batch["root"][:, 40:] = UNKNOWN
    changed = {name: value.clone() for name, value in batch.items()}
    changed["target"][:, :, 40:] = 1
    first, second = (task.loss(task.model, each, 0)["loss"] for each in (batch, changed))
    assert torch.equal(first, second)
    changed["target"][:, 0, :40] = 1
    assert not torch.equal(first, task.loss(task.model, changed, 0)["loss"])


def test_songs_without_chords_teach_no_roots() -> None:
    task = PriorTask(corpus("train", chords=False), tiny())
    losses = task.loss(task.model, task.make_batch(0, 0, 1), 0)
    assert losses["encoder_root_bits"] == 0
    assert losses["encoder_root"].isnan()
    assert losses["loss"].isfinite()


def test_training_leaves_a_prior_that_generates(codes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = train_prior(codes, run, tiny(), device="cpu")
    assert {p.name for p in run.iterdir()} >= {
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
        "state.safetensors",
    }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (valid, _) = (line for line in lines if line["split"] == "valid")
    assert valid["score"] == -valid["bits_per_second_conditional"]
    # Nothing is learnt from random codes in 4 steps: 6 bits a code, and log2(97) a note.
    assert valid["bits_per_code"] == pytest.approx(6.3, abs=0.5)
    for condition in ("unconditional", "shuffled"):
        assert valid[f"bits_per_second_{condition}"] > 0
    prior = load_prior(path)
    assert prior.format.fingerprint == "codec"
    bass = generate(prior, np.zeros((4, 8, 20), np.int64), SamplingSettings.of(prior))
    assert bass.codes.shape == (8, 20)


def test_a_new_checkpoint_holds_the_fallback_values_of_sampling_and_balance(
    codes: Path, tmp_path: Path
) -> None:
    path = train_prior(codes, tmp_path, tiny("train.steps=1"), device="cpu")
    meta = json.loads(path.with_suffix(".json").read_text())
    assert meta["sampling"] == asdict(SamplingDefaults())
    assert meta["balance"] == asdict(BalanceRange())


def test_a_resumed_run_must_share_settings_and_codes(codes: Path) -> None:
    """The defaults of sampling, which a later version may change, do not count."""
    task = PriorTask(load_corpus(codes), tiny())
    format = asdict(task.model.format)
    assert task.identity() == {"config": asdict(tiny()), "codes": format}


def test_start_from_another_prior(codes: Path, tmp_path: Path) -> None:
    path = train_prior(codes, tmp_path / "first", tiny(), device="cpu")
    task = PriorTask(load_corpus(codes), tiny(), init_from=path)
    for name, weight in load_prior(path).state_dict().items():
        assert torch.equal(weight, task.model.state_dict()[name])
    PriorTask(load_corpus(codes), tiny("model.dropout=0.3", "model.window_seconds=3"), path)
    for override, mentions in (
        ("model.dim=48", "do not fit"),
        ("model.heads=4", r"model\.heads"),
        ("model.delays=[0, 1, 2, 3, 4, 5, 6, 7, 8]", r"model\.delays"),
    ):
        with pytest.raises(UserError, match=mentions):
            PriorTask(load_corpus(codes), tiny(override), init_from=path)
    songs = load_corpus(codes)
    stranger = replace(songs, format=replace(songs.format, fingerprint="another"))
    with pytest.raises(UserError, match="another codec"):
        PriorTask(stranger, tiny(), init_from=path)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_encoder_can_be_trained_alone(optimizer: str, codes: Path, tmp_path: Path) -> None:
    config = tiny(f"train.optimizer='{optimizer}'")
    before = PriorTask(load_corpus(codes), config).model.state_dict()
    alone = replace(config, data=replace(config.data, encoder_only=True))
    train_prior(codes, tmp_path / "encoder", alone, device="cpu")
    after = load_prior(tmp_path / "encoder").state_dict()
    moved = {
        name.split(".")[0] for name in before if (before[name] - after[name]).abs().max() > 1e-3
    }
    assert moved == {"accompaniment", "encoder", "encoder_note_head"}
    last = json.loads((tmp_path / "encoder" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["score"] == last["encoder_pitch_class"] + last["encoder_onset_f1"]
    assert "bits_per_second_conditional" not in last

    train_prior(codes, tmp_path / "whole", config, device="cpu", init_from=tmp_path / "encoder")
    lines = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    assert "bits_per_second_conditional" in json.loads(lines[-1])


def test_only_what_the_encoder_needs_is_trained_alone() -> None:
    """Several processes refuse to train weights that get no gradient."""
    model = PriorTask(corpus("train"), tiny("data.encoder_only=true")).model
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"accompaniment", "encoder", "encoder_note_head", "encoder_root_head"}


def test_no_songs_to_train_on() -> None:
    with pytest.raises(UserError, match="train"):
        PriorTask(corpus("valid"), tiny())


def test_validation_uses_the_valid_songs_and_without_any_the_training_songs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = PriorTask(corpus("train", "valid", "valid"), tiny())
    assert {window.song.split for window in task.valid_windows} == {"valid"}
    assert capsys.readouterr().err == ""
    task = PriorTask(corpus("train", chords=False), tiny())
    assert {window.song.split for window in task.valid_windows} == {"train"}
    assert "validating on training songs" in capsys.readouterr().err
    figures = task.validate(task.model.eval())
    assert "bits_per_second_shuffled" not in figures  # there is no other song
    assert "encoder_root" not in figures  # there are no chords
    assert figures["score"] < 0


def test_validation_shuffles_with_another_song() -> None:
    songs = corpus("valid", "valid", "valid").songs
    windows = whole_windows([*songs, songs[0]], WINDOW, at_most=10)
    assert [another_song(windows, index).song for index in range(4)] == [  # type: ignore[union-attr]
        songs[1],
        songs[2],
        songs[0],
        songs[1],
    ]
    assert another_song(windows[:1] * 3, 0) is None


def likelihood(frames: int, bits: float, rooted: int = 0, root: float = math.nan) -> Likelihood:
    """Figures that all follow from `bits`."""
    conditions = {
        "conditional": Bits(bits, bits / 2, bits / 4),
        "unconditional": Bits(bits + 1, bits / 2 + 1, bits / 4),
    }
    encoder = EncoderAccuracy(frames, rooted, bits / 100, root, bits / 200)
    return Likelihood(frames, conditions, (0.5, 0.5), bits / 10, encoder)


def test_windows_are_averaged_by_their_frames() -> None:
    figures = _likelihood_metrics([likelihood(30, 2.0), likelihood(10, 6.0)])
    assert figures == pytest.approx(
        {
            "bits_per_second_conditional": 3.0,
            "bits_per_second_unconditional": 4.0,
            "bits_per_code": 0.75,
            "note_bits_per_second": 1.5,
            "note_accuracy": 0.3,
            "encoder_pitch_class": 0.03,
            "encoder_onset_f1": 0.015,
        }
    )


def test_roots_are_averaged_where_they_are_known() -> None:
    parts = [likelihood(30, 2.0), likelihood(10, 6.0, 4, 0.5), likelihood(10, 6.0, 12, 0.9)]
    assert _encoder_metrics([part.encoder for part in parts])["encoder_root"] == pytest.approx(0.8)


def test_the_prior_learns_a_rule_from_the_accompaniment() -> None:
    """One code of the accompaniment says the note of the bass, which is the chord's root."""
    songs = []
    for name in "ab":
        song = make_song(name, "train", frames=600)
        told = song.views["accompaniment"][3, 0] // 16
        roots = ((NoteVocabulary.LOW + told) % 12).tolist()
        edges = (np.arange(601) * HOP / 44100).tolist()  # a chord for each frame
        chords = [
            {"start": edges[frame], "end": edges[frame + 1], "root": root}
            for frame, root in enumerate(roots)
        ]
        notes = (2 * told + 1).astype(np.uint8)
        changes = {"views": song.views, "notes": notes, "song": {"chords": chords}}
        songs.append(SongTokens.of(make_song(name, "train", frames=600, **changes)))
    nothing_hidden = ("data.drop_all=0", "data.drop_source=0", "data.mask_song=0")
    task = PriorTask(Corpus(tuple(songs), FORMAT), tiny("train.batch_size=4", *nothing_hidden))
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=3e-3)
    for step in range(80):
        losses = task.loss(task.model, task.make_batch(step, 0, 1), step)
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses["encoder_pitch_class"] > 0.9
    assert losses["encoder_root"] > 0.9
