"""The performer's training windows, and its training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.training.loop import fit
from shared.training.settings import TrainSettings
from stage2_prior.performer.network import MASK, PAD, Performer, PerformerConfig
from stage2_prior.performer.score import HIDDEN, LOUDNESS, NOTE, ROWS, TONE
from stage2_prior.performer.sequences import (
    PerformedSong,
    PracticeConfig,
    PractisingSequences,
    whole_windows,
    window,
)
from stage2_prior.performer.task import PerformerTask, PerformerTraining, code_nats
from stage2_prior.performer.tone import TONES
from stage2_prior.rest_weight import rest_weight
from tests.toy_songs import FORMAT, make_song

CONFIG = PerformerConfig(dim=16, heads=2, depth=1, feedforward=2, dropout=0, window_seconds=1)
FRAMES = 43
NOTHING = PracticeConfig(
    hidden_codes=0, hidden_span=0, hidden_notes=0, hidden_loudness=0, hidden_tone=0
)


def songs(*names: str) -> list[PerformedSong]:
    return [PerformedSong.of(make_song(name, "train")) for name in names]


def practise(practice: PracticeConfig, *names: str) -> PractisingSequences:
    return PractisingSequences(songs(*names or ("a", "b")), FRAMES, FORMAT.frame_rate, practice)


def test_a_song_has_the_codes_of_its_bass_and_its_notes() -> None:
    facts = {
        "bass_program": 36,
        "bass_notes": [
            {"onset": 0, "duration": 1, "pitch": 30, "velocity": 60},
            {"onset": 1, "duration": 1, "pitch": 30, "velocity": 100},
        ],
    }
    codes = make_song("a", "valid", song=facts)
    song = PerformedSong.of(codes)
    assert (song.track, song.split, song.frames) == ("a", "valid", 120)
    assert (song.codes == codes.views["alone"][1]).all()
    assert codes.notes is not None
    assert (song.score[NOTE] == 1 + codes.notes).all()
    assert (song.score[TONE] == TONES.index("slap")).all()
    assert song.score[LOUDNESS].tolist() == [3] * 43 + [7] * 43 + [HIDDEN] * 34


def test_notes_that_are_not_known_are_hidden() -> None:
    assert not PerformedSong.of(make_song("a", "train", with_notes=False)).score.any()
    confidence = np.ones(120, np.float32)
    confidence[50:60] = 0
    song = PerformedSong.of(make_song("a", "train", note_confidence=confidence))
    assert ((song.score == HIDDEN).all(0) == (confidence == 0)).all()
    assert not song.rests[50:60].any()
    assert not song.sounds[50:60].any()


def test_the_same_item_for_the_same_seed_step_and_number() -> None:
    sequences = practise(PracticeConfig())
    whole = sequences.batch(1, 2, range(4))
    part = sequences.batch(1, 2, range(1, 4, 2))
    assert all(torch.equal(whole[key][1::2], part[key]) for key in whole)
    other = sequences.batch(1, 3, range(4))
    assert not torch.equal(whole["target"], other["target"])
    assert whole["score"].shape == (4, ROWS, FRAMES)
    assert whole["history"].shape == whole["target"].shape == (4, 8, FRAMES)
    assert whole["weight"].shape == (4, FRAMES)


def test_nothing_is_hidden_unless_it_is_asked_for() -> None:
    batch = practise(NOTHING).batch(0, 0, range(8))
    assert torch.equal(batch["history"], batch["target"])
    assert (batch["score"][:, NOTE] > HIDDEN).all()


def test_the_history_is_hidden_as_often_as_it_is_asked_for() -> None:
    batch = practise(replace(NOTHING, hidden_codes=0.2)).batch(0, 0, range(100))
    hidden = batch["history"] == MASK
    assert hidden.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(batch["history"].where(~hidden, batch["target"]), batch["target"])
    shares = hidden.float().mean((1, 2))
    assert shares.min() < 0.05
    assert shares.max() > 0.35


def test_a_span_is_hidden_in_all_codebooks() -> None:
    practice = replace(NOTHING, hidden_span=1, span_seconds=0.3)
    hidden = practise(practice).batch(0, 0, range(50))["history"] == MASK
    assert (hidden.all(1) == hidden.any(1)).all()
    lengths = hidden.any(1).sum(1)
    assert lengths.min() >= 1
    assert lengths.max() == round(0.3 * FORMAT.frame_rate)


def test_hidden_notes_leave_the_tone() -> None:
    facts = {"bass_program": 33}
    song = PerformedSong.of(make_song("a", "train", song=facts))
    practice = replace(NOTHING, hidden_notes=0.5)
    sequences = PractisingSequences([song], FRAMES, FORMAT.frame_rate, practice)
    score = sequences.batch(0, 0, range(100))["score"]
    hidden = (score[:, :TONE] == HIDDEN).flatten(1).all(1)
    assert 30 < hidden.sum() < 70
    assert (score[:, TONE] == TONES.index("fingered")).all()
    sequences.practice = replace(NOTHING, hidden_tone=0.5)
    score = sequences.batch(0, 0, range(100))["score"]
    assert 30 < (score[:, TONE] == HIDDEN).all(1).sum() < 70
    assert (score[:, NOTE] > HIDDEN).all()


def test_a_short_song_is_padded() -> None:
    song = PerformedSong.of(make_song("a", "train", frames=30))
    cut = window(song, 0, FRAMES)
    assert (cut["history"][:, 30:] == PAD).all()
    assert (cut["score"][:, 30:] == HIDDEN).all()
    assert cut["weight"].tolist() == [1] * 30 + [0] * 13
    batch = practise(PracticeConfig(hidden_span=1), "a").batch(0, 0, range(1))
    assert batch["history"].shape[-1] == FRAMES


def test_rests_do_not_dominate() -> None:
    notes = np.full(120, NoteVocabulary.onset(30), np.uint8)
    notes[:90] = NoteVocabulary.REST
    song = PerformedSong.of(make_song("a", "train", notes=notes))
    weight = rest_weight([song], 0.4)
    assert 90 * weight / (90 * weight + 30) == pytest.approx(0.4)
    assert rest_weight([song], 0.8) == 1
    cut = window(song, 80, 20, weight)
    assert cut["weight"].tolist() == pytest.approx([weight] * 10 + [1] * 10)


def test_whole_windows_are_thinned_out() -> None:
    some = songs("a", "b", "c")
    assert len(whole_windows(some, FRAMES, 100)) == 6
    thinned = whole_windows(some, FRAMES, 3)
    for each, song in zip(thinned, some, strict=True):
        assert (each["target"] == song.codes[:, :FRAMES]).all()


def task(**practice: float) -> PerformerTask:
    torch.manual_seed(0)
    train = TrainSettings(
        steps=30, batch_size=4, learning_rate=0.01, warmup_steps=2, log_every=10, validate_every=30
    )
    settings = PerformerTraining(train, replace(NOTHING, **practice), valid_windows=2)
    return PerformerTask(songs("a"), songs("a"), Performer(CONFIG, FORMAT), settings)


def test_training_lowers_the_loss_and_notes_save_bits(tmp_path: Path) -> None:
    made = task(hidden_notes=0.3)
    with torch.no_grad():
        before = made.validate(made.model.eval())
    fit(made, made.settings.train, tmp_path)
    with torch.no_grad():
        after = made.validate(made.model.eval())
    assert before["bits_per_code"] == pytest.approx(6, abs=1)
    assert after["bits_per_code"] < before["bits_per_code"] - 0.2
    assert after["score"] == -after["bits_per_code"]
    saved = after["bits_per_code_without_notes"] - after["bits_per_code"]
    assert saved > 0.05
    a_second = 8 * FORMAT.frame_rate
    assert after["bits_per_second_saved_by_notes"] == pytest.approx(saved * a_second)


def test_the_loss_weighs_the_frames() -> None:
    made = task()
    batch = made.make_batch(0, 0, 1)
    model = made.model.eval()
    nats = code_nats(model(batch["score"], batch["history"]), batch["target"])
    batch["weight"] = torch.zeros_like(batch["weight"])
    assert made.loss(model, batch, 0)["loss"] == 0
    batch["weight"][2, 7] = 0.5
    assert made.loss(model, batch, 0)["loss"].item() == pytest.approx(nats[2, :, 7].mean().item())


def test_the_cost_of_codes() -> None:
    logits = torch.zeros(1, 5, 8, 64)
    target = torch.randint(0, 64, (1, 8, 5))
    assert code_nats(logits, target).numpy() == pytest.approx(np.log(64))
    logits.scatter_(-1, target.transpose(1, 2)[..., None], 100.0)
    assert code_nats(logits, target).abs().max() < 1e-6


def test_songs_are_needed() -> None:
    with pytest.raises(UserError, match="no songs"):
        PerformerTask([], songs("a"), Performer(CONFIG, FORMAT), PerformerTraining())
