import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.codes.codec import CodeFormat
from shared.codes.manifest import MANIFEST, write_manifest
from shared.codes.song_codes import SUFFIX, SongCodes
from shared.config import load_config
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import BASS, SOURCES
from stage2_prior.config import PRESETS, DataConfig, PriorConfig
from stage2_prior.model import MASK, PAD, load_prior
from stage2_prior.sampling import SamplingSettings, generate
from stage2_prior.sequences import (
    UNKNOWN,
    Corpus,
    SongTokens,
    TrainingSequences,
    load_corpus,
    rest_weight,
    whole_windows,
)
from stage2_prior.train import PriorTask, train_prior

HOP = 1024
FORMAT = CodeFormat(SOURCES, 8, 64, 44100, HOP, "codec")
WINDOW = 86  # frames, the tiny preset's 2 s
UNTOUCHED = DataConfig(
    drop_source=0, drop_all=0, mask_song=0, mask_tokens=0, mask_span=0, mask_notes=0
)


def make_song(
    name: str, split: str, frames: int = 120, with_notes: bool = True, **changes
) -> SongCodes:
    chance = np.random.default_rng(ord(name))
    fields = {
        "track": name,
        "split": split,
        "sources": SOURCES,
        "sample_rate": 44100,
        "hop": HOP,
        "num_samples": frames * HOP,
        "fingerprint": "codec",
        "gain": 1.0,
        "rms": dict.fromkeys(SOURCES, 0.1),
        "views": {
            view: chance.integers(0, 64, (4, 8, frames)).astype(np.uint16)
            for view in ("mixture", "accompaniment", "alone")
        },
        "notes": chance.integers(1, 97, frames).astype(np.uint8) if with_notes else None,
        "note_confidence": np.full(frames, 0.5, np.float32) if with_notes else None,
    }
    return SongCodes(**(fields | changes))


def write_codes(folder: Path, songs: Sequence[SongCodes], format: CodeFormat = FORMAT) -> Path:
    """What extract-codes would leave in `folder`."""
    files = [folder / song.split / f"{song.track}{SUFFIX}" for song in songs]
    for song, file in zip(songs, files, strict=True):
        song.save(file)
    write_manifest(folder, format, files)
    return folder


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    """Two training songs and two for validation."""
    splits = {"a": "train", "b": "train", "c": "valid", "d": "valid"}
    songs = [make_song(name, split) for name, split in splits.items()]
    return write_codes(tmp_path / "codes", songs)


def sequences(songs: list[SongCodes], data: DataConfig = UNTOUCHED) -> TrainingSequences:
    tokens = [SongTokens.of(song) for song in songs]
    return TrainingSequences(tokens, WINDOW, 64, frame_rate=43.07, data=data)


def test_an_untouched_window_is_a_piece_of_the_song() -> None:
    song = make_song("a", "train", frames=100)
    batch = sequences([song]).batch(seed=0, step=3, items=range(4))
    assert batch["accompaniment"].shape == (4, 4, 8, WINDOW)
    assert batch["target"].shape == (4, 9, WINDOW)
    for item in range(4):
        bass = batch["target"][item].numpy()
        starts = [
            s
            for s in range(100 - WINDOW + 1)
            if np.array_equal(bass[1:], song.views["alone"][BASS][:, s : s + WINDOW])
        ]
        (start,) = starts
        assert np.array_equal(bass[0], song.notes[start : start + WINDOW])
        heard = song.views["accompaniment"][:, :, start : start + WINDOW]
        assert np.array_equal(batch["accompaniment"][item].numpy(), heard)
    assert torch.equal(batch["history"], batch["target"])
    assert (batch["note_weight"] == 0.5).all()
    assert (batch["code_weight"] == 1).all()


def test_items_depend_on_seed_step_and_index_only() -> None:
    made = sequences([make_song("a", "train"), make_song("b", "train")], DataConfig())
    whole = made.batch(seed=1, step=5, items=range(4))
    shares = [made.batch(seed=1, step=5, items=range(rank, 4, 2)) for rank in range(2)]
    for key, value in whole.items():
        assert torch.equal(value[0::2], shares[0][key])
        assert torch.equal(value[1::2], shares[1][key])
    assert not torch.equal(whole["target"], made.batch(1, 6, range(4))["target"])
    assert not torch.equal(whole["target"], made.batch(2, 5, range(4))["target"])


def test_a_short_song_is_padded_and_padding_weighs_nothing() -> None:
    batch = sequences([make_song("a", "train", frames=50)]).batch(0, 0, range(2))
    assert (batch["accompaniment"][..., 50:] == 64).all()
    assert (batch["history"][..., 50:] == PAD).all()
    assert (batch["code_weight"] > 0).sum() == (batch["note_weight"] > 0).sum() == 2 * 50
    assert batch["target"].min() >= 0


def test_unknown_notes_are_hidden_and_not_learnt() -> None:
    song = make_song("a", "train", with_notes=False)
    batch = sequences([song]).batch(0, 0, range(2))
    assert (batch["history"][:, 0] == MASK).all()
    assert (batch["note_weight"] == 0).all()
    assert (batch["code_weight"] == 1).all()


def test_chords_become_roots_and_unknown_ones_are_not_learnt() -> None:
    second = 44100 / HOP  # frames
    chords = [
        {"start": 0.0, "end": 0.2, "root": None, "symbol": "N.C."},
        {"start": 0.2, "end": 0.4},
        {"start": 0.5, "end": 1.0, "root": 7},
        {"start": 1.0, "end": 9.0, "root": 0},
    ]
    tokens = SongTokens.of(make_song("a", "train", frames=WINDOW, song={"chords": chords}))
    start, change = round(0.5 * second), round(second)
    expected = [UNKNOWN] * start + [7] * (change - start) + [0] * (WINDOW - change)
    assert tokens.root.tolist() == expected
    assert (SongTokens.of(make_song("a", "train")).root == UNKNOWN).all()

    task = PriorTask(
        Corpus((replace(tokens, root=np.full(WINDOW, UNKNOWN, np.int8)),), FORMAT),
        load_config(PriorConfig, PRESETS, "tiny"),
    )
    losses = task.loss(task.model, task.make_batch(0, 0, 1), 0)
    assert losses["encoder_root_bits"] == 0
    assert losses["encoder_root"].isnan()


def test_sources_are_dropped_one_by_one_and_together() -> None:
    data = DataConfig(drop_source=0.3, drop_all=0.2, mask_song=0)
    batch = sequences([make_song("a", "train")], data).batch(0, 0, range(400))
    dropped = (batch["accompaniment"] == 64).all(-1).all(-1)
    assert ((batch["accompaniment"] == 64).any(-1).any(-1) == dropped).all()
    assert dropped.all(1).float().mean() == pytest.approx(0.2 + 0.8 * 0.3**4, abs=0.06)
    assert dropped.float().mean().item() == pytest.approx(0.2 + 0.8 * 0.3, abs=0.06)


def test_codes_of_the_song_are_hidden_one_by_one() -> None:
    data = DataConfig(drop_source=0, drop_all=0, mask_song=0.2)
    batch = sequences([make_song("a", "train")], data).batch(0, 0, range(200))
    share = (batch["accompaniment"] == 64).float().mean((1, 2, 3))
    assert share.min() < 0.05  # some songs stay whole
    assert share.max() == pytest.approx(0.4, abs=0.05)
    assert share.mean() == pytest.approx(0.2, abs=0.03)


def test_history_is_hidden_by_tokens_and_spans() -> None:
    data = DataConfig(mask_tokens=0.2, mask_span=0, mask_notes=0)
    batch = sequences([make_song("a", "train")], data).batch(0, 0, range(200))
    hidden = batch["history"] == MASK
    assert hidden.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(batch["history"][~hidden], batch["target"][~hidden])
    data = DataConfig(mask_tokens=0, mask_span=1, mask_span_seconds=1, mask_notes=0)
    hidden = sequences([make_song("a", "train")], data).batch(0, 0, range(20))["history"] == MASK
    assert (hidden.all(1) == hidden.any(1)).all()
    assert hidden.any(1).sum(1).min() >= 1
    assert hidden.any(1).sum(1).max() <= 43


def test_rests_weigh_at_most_their_share() -> None:
    notes = np.repeat(np.array([0, 0, 0, 0, 9], np.uint8), 24)
    song = SongTokens.of(make_song("a", "train", notes=notes))
    weight = rest_weight([song], share=0.4)
    assert 96 * weight / (96 * weight + 24) == pytest.approx(0.4)
    assert rest_weight([song], share=0.9) == 1


def test_whole_windows() -> None:
    songs = [SongTokens.of(make_song(name, "valid", frames=200)) for name in "ab"]
    windows = whole_windows(songs, WINDOW, at_most=10)
    assert [(w.song.track, w.start) for w in windows] == [("a", 0), ("a", 86), ("b", 0), ("b", 86)]
    assert [w.song.track for w in whole_windows(songs, WINDOW, at_most=2)] == ["a", "b"]


def test_the_corpus_is_what_the_manifest_lists(codes: Path) -> None:
    make_song("e", "train", fingerprint="another").save(codes / f"train/e{SUFFIX}")
    corpus = load_corpus(codes)
    assert corpus.format == FORMAT
    assert [song.track for song in corpus.songs] == ["a", "b", "c", "d"]
    assert [song.track for song in corpus.split("train")] == ["a", "b"]


def test_corpus_refuses_what_it_cannot_use(codes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json: make .* with extract-codes"):
        load_corpus(tmp_path)
    with pytest.raises(UserError, match="holds no songs"):
        load_corpus(write_codes(tmp_path / "empty", []))
    songs = [make_song("a", "train")]
    for changes, mentions in (
        ({"fingerprint": "other"}, "'a' differ .* in fingerprint"),
        ({"codebooks": 4, "hop": 512}, "'a' differ .* in codebooks, hop"),
        ({"cardinality": 32}, "entries 0 to 31"),
        ({"sources": ("bass", "rest")}, "holds the sources bass, rest"),
    ):
        with pytest.raises(UserError, match=mentions):
            load_corpus(write_codes(tmp_path / "wrong", songs, replace(FORMAT, **changes)))
    (codes / f"train/a{SUFFIX}").unlink()
    with pytest.raises(UserError, match=f"no codes file .*a{SUFFIX}"):
        load_corpus(codes)
    (codes / MANIFEST).write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        load_corpus(codes)


def test_training_leaves_a_prior_that_generates(codes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = train_prior(codes, run, load_config(PriorConfig, PRESETS, "tiny"), device="cpu")
    assert {p.name for p in run.iterdir()} == {
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
        "state.safetensors",
    }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (valid, _) = (line for line in lines if line["split"] == "valid")
    assert valid["score"] == -valid["bits_per_second_conditional"]
    # Nothing is learnt of random codes in 4 steps: 6 bits a code, and log2(97) a note.
    assert valid["bits_per_code"] == pytest.approx(6.3, abs=0.5)
    for condition in ("unconditional", "shuffled"):
        assert valid[f"bits_per_second_{condition}"] > 0
    prior = load_prior(path)
    assert prior.format.fingerprint == "codec"
    bass = generate(prior, np.zeros((4, 8, 20), np.int64), SamplingSettings())
    assert bass.codes.shape == (8, 20)


def test_start_from_another_prior(codes: Path, tmp_path: Path) -> None:
    config = load_config(PriorConfig, PRESETS, "tiny")
    path = train_prior(codes, tmp_path / "first", config, device="cpu")
    task = PriorTask(load_corpus(codes), config, init_from=path)
    for name, weight in load_prior(path).state_dict().items():
        assert torch.equal(weight, task.model.state_dict()[name])
    freer = ["model.dropout=0.3", "model.window_seconds=3"]
    PriorTask(load_corpus(codes), load_config(PriorConfig, PRESETS, "tiny", overrides=freer), path)
    for override, mentions in (
        ("model.dim=48", "do not fit"),
        ("model.heads=4", r"model\.heads"),
        ("model.delays=[0, 1, 2, 3, 4, 5, 6, 7, 8]", r"model\.delays"),
    ):
        other = load_config(PriorConfig, PRESETS, "tiny", overrides=[override])
        with pytest.raises(UserError, match=mentions):
            PriorTask(load_corpus(codes), other, init_from=path)
    corpus = load_corpus(codes)
    stranger = replace(corpus, format=replace(corpus.format, fingerprint="another"))
    with pytest.raises(UserError, match="another codec"):
        PriorTask(stranger, config, init_from=path)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_encoder_alone_can_learn_to_listen(optimizer: str, codes: Path, tmp_path: Path) -> None:
    tiny = load_config(PriorConfig, PRESETS, "tiny", overrides=[f"train.optimizer='{optimizer}'"])
    before = PriorTask(load_corpus(codes), tiny).model.state_dict()
    config = replace(tiny, data=replace(tiny.data, encoder_only=True))
    train_prior(codes, tmp_path / "listening", config, device="cpu")
    after = load_prior(tmp_path / "listening").state_dict()
    moved = {
        name.split(".")[0] for name in before if (before[name] - after[name]).abs().max() > 1e-3
    }
    assert moved == {"accompaniment", "encoder", "encoder_note_head"}

    train_prior(codes, tmp_path / "whole", tiny, device="cpu", init_from=tmp_path / "listening")
    lines = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    assert "bits_per_second_conditional" in json.loads(lines[-1])


def test_no_songs_to_train_on(tmp_path: Path) -> None:
    codes = write_codes(tmp_path, [make_song("c", "valid")])
    with pytest.raises(UserError, match="train"):
        PriorTask(load_corpus(codes), load_config(PriorConfig, PRESETS, "tiny"))


def test_validation_without_valid_songs_and_with_one_song(tmp_path: Path) -> None:
    codes = write_codes(tmp_path, [make_song("a", "train")])
    task = PriorTask(load_corpus(codes), load_config(PriorConfig, PRESETS, "tiny"))
    with torch.no_grad():
        figures = task.validate(task.model.eval())
    assert "bits_per_second_shuffled" not in figures
    assert "encoder_root" not in figures  # these songs have no chords
    assert figures["score"] < 0


def test_the_prior_learns_a_rule_from_its_song(tmp_path: Path) -> None:
    """The bass note, the chord's root, is told by one code of the accompaniment: the encoder must find it."""
    songs = []
    for name in "ab":
        song = make_song(name, "train", frames=600)
        told = song.views["accompaniment"][3, 0] // 16
        roots = ((NoteVocabulary.LOW + told) % 12).tolist()
        edges = (np.arange(601) * HOP / 44100).tolist()  # a chord a frame
        chords = [
            {"start": edges[frame], "end": edges[frame + 1], "root": root}
            for frame, root in enumerate(roots)
        ]
        songs.append(
            make_song(
                name,
                "train",
                frames=600,
                views=song.views,
                notes=(2 * told + 1).astype(np.uint8),
                song={"chords": chords},
            )
        )
    config = load_config(
        PriorConfig,
        PRESETS,
        "tiny",
        overrides=[
            "train.batch_size=4",
            "data.drop_all=0",
            "data.drop_source=0",
            "data.mask_song=0",
        ],
    )
    task = PriorTask(load_corpus(write_codes(tmp_path, songs)), config)
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=3e-3)
    for step in range(80):
        losses = task.loss(task.model, task.make_batch(step, 0, 1), step)
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses["encoder_pitch_class"] > 0.9
    assert losses["encoder_root"] > 0.9
