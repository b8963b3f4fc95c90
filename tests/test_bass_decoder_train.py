"""Training of the bass decoder: its batches, its losses, and the run folder that it leaves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shared.codes.codec import CodeFormat
from shared.config import load_config
from shared.errors import UserError, UserErrors
from shared.music.notes import NoteVocabulary
from shared.songs.cache import StemCache, build_cache
from stage1_vqvae.bass_decoder.config import PRESETS, BassDecoderConfig, DataConfig
from stage1_vqvae.bass_decoder.decode import load_bass_decoder
from stage1_vqvae.bass_decoder.losses import (
    deviation_loss,
    low_terms,
    note_loss,
    spectral_terms,
)
from stage1_vqvae.bass_decoder.songs import BassSong, SegmentDrawer, read_bass_songs
from stage1_vqvae.bass_decoder.train import BassDecoderTask, train_bass_decoder
from stage1_vqvae.spectral import analyse
from tests.conftest import WriteSong
from tests.toy_bass import FORMAT, HOP, RATE, SAMPLES, ToneCodec, tone, write_songs
from tests.toy_songs import make_song, write_codes
from tests.toy_task import assert_same_state, files, metrics


@pytest.fixture(scope="module")
def songs(
    write_song: WriteSong, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StemCache, Path]:
    """The cache and the codes of `write_songs`, whose folder is that of the codes."""
    return write_songs(tmp_path_factory.mktemp("bass"), write_song)


def tiny(*overrides: str) -> BassDecoderConfig:
    return load_config(BassDecoderConfig, PRESETS, "tiny", overrides=overrides)


def train_and_valid(songs: tuple[StemCache, Path]) -> tuple[list[BassSong], list[BassSong]]:
    return read_bass_songs(*songs)


def drawer(songs: tuple[StemCache, Path], **changes: Any) -> SegmentDrawer:
    config = replace(DataConfig(segment_seconds=0.5), **changes)
    return SegmentDrawer(read_bass_songs(*songs)[0], config, FORMAT, 3, 4)


def test_songs_with_codes_and_samples_are_read(songs: tuple[StemCache, Path]) -> None:
    read = read_bass_songs(*songs)[0]
    assert [song.audio.name for song in read] == ["a", "b"]
    assert [song.codes.shape for song in read] == [(2, 61)] * 2
    segment = read[0].segment(10, 5)
    assert segment.samples.shape == (4 * HOP,)
    whole = read[0].audio.read(1, 0, SAMPLES).mean(0) / 2  # their gain is 0.5
    np.testing.assert_allclose(segment.samples, whole[10 * HOP : 14 * HOP])
    np.testing.assert_array_equal(segment.codes, read[0].codes[:, 10:15])
    assert read[0].middle(100).codes.shape == (2, 61)
    np.testing.assert_array_equal(read[0].middle(0.1).codes, read[0].codes[:, 28:33])


def test_batches_depend_on_seed_step_and_index_alone(songs: tuple[StemCache, Path]) -> None:
    whole = drawer(songs).batch(7)
    assert {name: (list(x.shape), x.dtype) for name, x in whole.items()} == {
        "samples": ([4, 22 * HOP], torch.float32),
        "codes": ([4, 23, 2], torch.int64),
        "tokens": ([4, 23], torch.int64),
        "confidence": ([4, 23], torch.float32),
        "deviation": ([4, 23], torch.float32),
        "steady": ([4, 23], torch.bool),
    }
    halves = [drawer(songs).batch(7, rank, 2) for rank in (0, 1)]
    for name, column in whole.items():
        assert torch.equal(halves[0][name], column[0::2])
        assert torch.equal(halves[1][name], column[1::2])
    assert not torch.equal(whole["codes"], drawer(songs).batch(8)["codes"])
    assert whole["steady"].float().mean() > 0.6
    assert whole["deviation"].abs().max() < 0.02


def test_a_silent_segment_is_drawn_again(write_song: WriteSong, tmp_path: Path) -> None:
    bass = np.zeros((SAMPLES, 2), np.float32)
    bass[-20 * HOP :] = tone(55.0, 20 * HOP)[:, None]
    _, codes = write_songs(tmp_path / "x", write_song)
    for name in ("a", "b"):
        write_song(tmp_path / "x" / "songs" / "train" / name, SAMPLES / RATE, bass=bass)
    quiet = build_cache(tmp_path / "x" / "songs"), codes

    def silent(redraws: int) -> float:
        batches = [drawer(quiet, redraws=redraws).batch(step)["samples"] for step in range(10)]
        return (torch.cat(batches).abs().amax(1) < 1e-3).float().mean().item()

    assert silent(0) > 0.2
    assert silent(20) == 0


def test_codes_of_other_samples_are_refused(songs: tuple[StemCache, Path], tmp_path: Path) -> None:
    song = make_song("a", "train", num_samples=5, fingerprint="tone")
    codes = write_codes(tmp_path, [song], FORMAT)
    with pytest.raises(UserError, match=r"was made of 5 samples, but the song has 61440: extract"):
        read_bass_songs(songs[0], codes)


def test_all_codes_that_cannot_be_used_are_named(
    songs: tuple[StemCache, Path], tmp_path: Path
) -> None:
    bad = [make_song(name, "train", num_samples=5, fingerprint="tone") for name in "ab"]
    codes = write_codes(tmp_path, bad, FORMAT)
    with pytest.raises(UserErrors, match=r"a\.codes.*b\.codes.*the codes of 2 songs"):
        read_bass_songs(songs[0], codes)


def test_segments_longer_than_every_song_are_refused(songs: tuple[StemCache, Path]) -> None:
    with pytest.raises(UserError, match="for a segment of 3 s"):
        drawer(songs, segment_seconds=3)


def test_equal_sounds_have_no_distance() -> None:
    sound = torch.from_numpy(0.1 * tone(200, 8192))[None]
    terms = spectral_terms(sound, sound, RATE)
    assert terms["magnitude"] == 0
    assert terms["convergence"] == pytest.approx(1e-6)


def test_a_sound_of_half_the_level_is_log_2_away() -> None:
    torch.manual_seed(0)
    sound = torch.randn(2, 30_000)
    terms = spectral_terms(sound / 2, sound, RATE)
    assert terms["magnitude"].item() == pytest.approx(np.log(2), abs=1e-3)
    assert terms["convergence"].item() == pytest.approx(0.5, abs=1e-3)


def lows_of(sound: Tensor) -> Tensor:
    """The bins up to 600 Hz of the frames of a sound `[1, N]`."""
    return analyse(torch.nn.functional.pad(sound, (HOP, HOP)), HOP)[..., :29]


def test_the_lows_of_equal_sounds_have_no_distance_and_highs_do_not_count() -> None:
    low = torch.from_numpy(0.1 * tone(110, 40 * HOP))[None]
    sound = low + torch.from_numpy(0.1 * tone(1500, 40 * HOP))
    spectrum = lows_of(low)
    terms = low_terms(spectrum, low, sound, RATE)
    assert terms["low_waveform"] < -1.2  # error over signal; the silence of `log_ratio` bounds it
    assert terms["low_magnitude"] < 0.1
    inverted = low_terms(-spectrum, -low, sound, RATE)
    assert inverted["low_waveform"].item() == pytest.approx(np.log10(4), abs=0.05)
    assert inverted["low_magnitude"].item() == pytest.approx(terms["low_magnitude"].item())
    torch.manual_seed(0)
    noise = torch.randn(1, 40 * HOP)
    half = low_terms(lows_of(noise) / 2, noise / 2, noise, RATE)
    assert half["low_magnitude"].item() == pytest.approx(np.log(2), abs=1e-3)
    assert half["low_waveform"].item() == pytest.approx(np.log10(0.25), abs=0.05)


def test_the_gradient_of_the_magnitudes_is_right() -> None:
    torch.manual_seed(0)
    sound = torch.randn(1, 600, dtype=torch.float64, requires_grad=True)
    goal = torch.randn(1, 600, dtype=torch.float64)

    def loss(audio: Tensor) -> Tensor:
        return torch.stack(list(spectral_terms(audio, goal, RATE, (256, 128)).values())).sum()

    assert torch.autograd.gradcheck(loss, sound, fast_mode=True)


def test_phases_of_partials_hardly_count() -> None:
    """A decoder that does not know them must gain nothing by changes within a period."""
    time = torch.arange(RATE) / RATE
    turn = torch.rand(20, generator=torch.Generator().manual_seed(0))

    def low_e(phases: Tensor) -> Tensor:
        cycles = 41.2 * torch.arange(1, 21)[:, None] * time + phases[:, None]
        return 0.02 * (2 * torch.pi * cycles).sin().sum(0, keepdim=True)

    terms = spectral_terms(low_e(torch.zeros(20)), low_e(turn), RATE)
    assert terms["magnitude"] < 0.25
    assert spectral_terms(low_e(torch.zeros(20)), low_e(turn), RATE, (256,))["magnitude"] > 0.5


def test_notes_and_pitch_count_where_they_are_known() -> None:
    logits = torch.zeros(1, 4, NoteVocabulary.size)
    tokens = torch.tensor([[3, 5, -1, 7]])
    confidence = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    logits[0, 1, 5] = 50  # sure and right
    logits[0, 3, 9] = 50  # wrong, and the note is not trusted
    loss = note_loss(logits, tokens, confidence)
    assert loss.item() == pytest.approx(np.log(97) / 2)
    off = deviation_loss(torch.tensor([[0.5, 0.9]]), torch.tensor([[0.2, 0.0]]), tokens[:, :2] < 4)
    assert off.item() == pytest.approx(0.3)


def test_training_on_a_tone_lowers_the_loss(songs: tuple[StemCache, Path]) -> None:
    config = tiny()
    task = BassDecoderTask(config, ToneCodec(), *train_and_valid(songs))
    optimizer = torch.optim.Adam(task.model.parameters(), 0.02)
    losses = []
    for step in range(40):
        torch.manual_seed(step)
        terms = task.loss(task.model, task.make_batch(step, 0, 1), step)
        losses.append(terms)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    for name in ("loss", "magnitude", "convergence", "notes"):
        assert losses[-1][name] < 0.6 * losses[0][name], name
    assert losses[-1]["low_magnitude"] < 0.7 * losses[0]["low_magnitude"]
    figures = task.validate(task.model)
    assert figures["notes"] > 0.9  # all but the onset


def test_a_run_leaves_these_files_and_a_decoder(
    songs: tuple[StemCache, Path], tmp_path: Path
) -> None:
    data = songs[1].parent / "songs"
    train_bass_decoder(data, songs[1], tmp_path, tiny(), ToneCodec(), device="cpu")
    assert files(tmp_path) == [
        "metrics.csv",
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
        "run.json",
        "state.safetensors",
    ]
    lines = [line for line in metrics(tmp_path) if line["split"] == "valid"]
    assert [line["step"] for line in lines] == [2, 4]
    bands = ("30-120", "120-400", "400-1000", "1000-3000", "3000-8000")
    distances = [lines[-1][f"distance_{band}"] for band in bands]
    assert lines[-1]["score"] == pytest.approx(-np.mean(distances))
    assert all(np.isfinite(lines[-1][f"level_{band}"]) for band in bands)
    meta = json.loads((tmp_path / "model.json").read_text())
    assert meta["stage"] == "bass-decoder"
    assert meta["crossover"] == {"hz": 400.0}
    assert meta["codes"]["fingerprint"] == "tone"
    decoder = load_bass_decoder(tmp_path, ToneCodec())
    sound = decoder.decode(np.zeros((2, 11), np.uint16), None, 10 * HOP)
    assert np.isfinite(sound).all()


def test_a_resumed_run_is_an_uninterrupted_one(
    songs: tuple[StemCache, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, codec = songs[1].parent / "songs", ToneCodec()
    train_bass_decoder(data, songs[1], tmp_path / "whole", tiny(), codec, device="cpu")
    original = BassDecoderTask.make_batch

    def dying(task: BassDecoderTask, step: int, rank: int, world: int) -> dict[str, Tensor]:
        if step == 3:
            raise MemoryError
        return original(task, step, rank, world)

    monkeypatch.setattr(BassDecoderTask, "make_batch", dying)
    cut = tmp_path / "cut"
    with pytest.raises(MemoryError):
        train_bass_decoder(data, songs[1], cut, tiny(), codec, device="cpu")
    monkeypatch.setattr(BassDecoderTask, "make_batch", original)
    train_bass_decoder(data, songs[1], cut, tiny(), codec, resume="auto", device="cpu")
    assert_same_state(cut, tmp_path / "whole")


def test_a_run_starts_from_given_weights(songs: tuple[StemCache, Path], tmp_path: Path) -> None:
    data, codec = songs[1].parent / "songs", ToneCodec()
    first = train_bass_decoder(data, songs[1], tmp_path / "first", tiny(), codec, device="cpu")
    config = tiny("train.steps=1", "train.learning_rate=1e-9", "train.ema_decay=0")
    second = train_bass_decoder(
        data, songs[1], tmp_path / "second", config, codec, device="cpu", init_from=first
    )
    one, other = (load_bass_decoder(path, codec).network for path in (first, second))
    for weight, same in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(weight, same)


def test_partials_are_compared_at_their_true_frequencies(songs: tuple[StemCache, Path]) -> None:
    """Where the pitch is known, the predicted one does not change the sound."""
    task = BassDecoderTask(tiny(), ToneCodec(), *train_and_valid(songs))
    batch = task.make_batch(0, 0, 1)
    batch["steady"][:] = True

    def magnitude() -> float:
        torch.manual_seed(0)
        return task.loss(task.model, batch, 0)["magnitude"].item()

    before = magnitude()
    nn.init.constant_(task.model.deviation_head.bias, 0.5)
    assert magnitude() == before
    batch["steady"][:] = False
    assert magnitude() != before


def test_unusable_settings_and_codes_are_refused(
    songs: tuple[StemCache, Path], tmp_path: Path
) -> None:
    data = songs[1].parent / "songs"
    with pytest.raises(UserError, match=r"'model\.upsampling' must divide the 1024 samples"):
        train_bass_decoder(data, songs[1], tmp_path, tiny("model.upsampling=3"), ToneCodec())
    other = write_codes(tmp_path / "other", [], CodeFormat(**(vars(FORMAT) | {"fingerprint": "x"})))
    with pytest.raises(UserError, match="were made by the codec checkpoint x, but the codec in"):
        train_bass_decoder(data, other, tmp_path, tiny(), ToneCodec())
    only = write_codes(tmp_path / "only", [make_song("c", "test")], FORMAT)
    with pytest.raises(UserError, match="no song of the valid split has a bass"):
        train_bass_decoder(data, only, tmp_path, tiny(), ToneCodec())
