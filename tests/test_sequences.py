"""Training batches: which windows are cut, what is hidden in them, and what each frame weighs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.codes.manifest import MANIFEST
from shared.codes.song_codes import SUFFIX, SongCodes
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.sources import BASS
from stage2_prior.config import DataConfig
from stage2_prior.model import MASK, PAD
from stage2_prior.sequences import (
    UNKNOWN,
    SongTokens,
    TrainingSequences,
    Window,
    load_corpus,
    rest_weight,
    whole_windows,
)
from tests.toy_songs import FORMAT, HOP, WINDOW, make_song, write_codes

DROPPED = 64
NOTHING_HIDDEN = DataConfig(
    drop_source=0, drop_all=0, mask_song=0, mask_tokens=0, mask_span=0, mask_notes=0
)


def sequences(songs: list[SongCodes], data: DataConfig = NOTHING_HIDDEN) -> TrainingSequences:
    tokens = [SongTokens.of(song) for song in songs]
    return TrainingSequences(tokens, WINDOW, DROPPED, frame_rate=43.07, data=data)


def test_a_window_with_nothing_hidden_is_a_piece_of_the_song() -> None:
    song = make_song("a", "train", frames=100)
    batch = sequences([song]).batch(seed=0, step=3, items=range(4))
    assert batch["accompaniment"].shape == (4, 4, 8, WINDOW)
    assert batch["target"].shape == (4, 9, WINDOW)
    assert song.notes is not None
    for item in range(4):
        bass = batch["target"][item].numpy()
        (start,) = [
            s
            for s in range(100 - WINDOW + 1)
            if np.array_equal(bass[1:], song.views["alone"][BASS][:, s : s + WINDOW])
        ]
        assert np.array_equal(bass[0], song.notes[start : start + WINDOW])
        codes = song.views["accompaniment"][:, :, start : start + WINDOW]
        assert np.array_equal(batch["accompaniment"][item].numpy(), codes)
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


def test_windows_reach_both_ends_of_a_song_and_longer_songs_give_more_of_them() -> None:
    short, long = make_song("a", "train", frames=100), make_song("b", "train", frames=300)
    made = sequences([short, long])
    windows = [made._window(np.random.default_rng(seed)) for seed in range(2000)]
    starts = {name: [w.start for w in windows if w.song.track == name] for name in "ab"}
    assert (min(starts["a"]), max(starts["a"])) == (0, 100 - WINDOW)
    assert (min(starts["b"]), max(starts["b"])) == (0, 300 - WINDOW)
    assert len(starts["b"]) / len(windows) == pytest.approx(0.75, abs=0.04)


def test_a_short_song_is_padded_and_padding_weighs_nothing() -> None:
    batch = sequences([make_song("a", "train", frames=50)]).batch(0, 0, range(2))
    assert (batch["accompaniment"][..., 50:] == DROPPED).all()
    assert (batch["history"][..., 50:] == PAD).all()
    assert (batch["history"][..., :50] >= 0).all()
    assert (batch["root"][..., 50:] == UNKNOWN).all()
    assert (batch["code_weight"] > 0).sum() == (batch["note_weight"] > 0).sum() == 2 * 50
    assert batch["target"].min() >= 0


def test_padding_is_never_masked() -> None:
    everything = DataConfig(mask_tokens=0.5, mask_span=1, mask_span_seconds=10, mask_notes=1)
    batch = sequences([make_song("a", "train", frames=50)], everything).batch(0, 0, range(4))
    assert (batch["history"][..., 50:] == PAD).all()


def test_unknown_notes_are_hidden_and_not_learnt() -> None:
    song = make_song("a", "train", with_notes=False)
    batch = sequences([song]).batch(0, 0, range(2))
    assert (batch["history"][:, 0] == MASK).all()
    assert torch.equal(batch["history"][:, 1:], batch["target"][:, 1:])
    assert (batch["note_weight"] == 0).all()
    assert (batch["code_weight"] == 1).all()


def test_frames_weigh_by_the_confidence_of_their_notes_and_by_rests() -> None:
    notes = np.full(WINDOW, NoteVocabulary.onset(40), np.uint8)
    notes[: WINDOW // 2] = NoteVocabulary.REST
    confidence = np.full(WINDOW, 0.25, np.float32)
    confidence[:10] = 0  # rests, but only by default
    song = make_song("a", "train", frames=WINDOW, notes=notes, note_confidence=confidence)
    made = sequences([song], replace(NOTHING_HIDDEN, rest_share=0.2))
    batch = made.batch(0, 0, range(1))
    assert 0 < made.rest_weight < 1
    weight = np.where(notes == NoteVocabulary.REST, made.rest_weight, 1.0)
    np.testing.assert_allclose(batch["note_weight"][0], weight * confidence, rtol=1e-6)
    expected = np.where(confidence == 0, 1.0, weight)
    np.testing.assert_allclose(batch["code_weight"][0], expected, rtol=1e-6)


def test_chords_become_roots() -> None:
    second = 44100 / HOP  # in frames
    chords = [
        {"start": 0.0, "end": 0.2, "root": None, "symbol": "N.C."},
        {"start": 0.2, "end": 0.4},
        {"start": 0.5, "end": 1.0, "root": 7},
        {"start": 1.0, "end": 9.0, "root": 0},
    ]
    song = make_song("a", "train", frames=WINDOW, song={"chords": chords})
    start, change = round(0.5 * second), round(second)
    expected = [UNKNOWN] * start + [7] * (change - start) + [0] * (WINDOW - change)
    assert SongTokens.of(song).root.tolist() == expected
    assert sequences([song]).batch(0, 0, range(1))["root"][0].tolist() == expected
    assert (SongTokens.of(make_song("a", "train")).root == UNKNOWN).all()


def test_sources_are_dropped_one_by_one_and_together() -> None:
    data = replace(NOTHING_HIDDEN, drop_source=0.3, drop_all=0.2)
    batch = sequences([make_song("a", "train")], data).batch(0, 0, range(400))
    dropped = (batch["accompaniment"] == DROPPED).all(-1).all(-1)
    assert ((batch["accompaniment"] == DROPPED).any(-1).any(-1) == dropped).all()
    assert dropped.all(1).float().mean() == pytest.approx(0.2 + 0.8 * 0.3**4, abs=0.06)
    assert dropped.float().mean().item() == pytest.approx(0.2 + 0.8 * 0.3, abs=0.06)


def test_codes_of_the_accompaniment_are_hidden_one_by_one() -> None:
    data = replace(NOTHING_HIDDEN, mask_song=0.2)
    batch = sequences([make_song("a", "train")], data).batch(0, 0, range(200))
    share = (batch["accompaniment"] == DROPPED).float().mean((1, 2, 3))
    assert share.min() < 0.05  # in some items hardly any are hidden
    assert share.max() == pytest.approx(0.4, abs=0.05)
    assert share.mean() == pytest.approx(0.2, abs=0.03)


def test_tokens_of_the_history_are_hidden_one_by_one() -> None:
    data = replace(NOTHING_HIDDEN, mask_tokens=0.2)
    batch = sequences([make_song("a", "train")], data).batch(0, 0, range(200))
    hidden = batch["history"] == MASK
    assert hidden.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(batch["history"][~hidden], batch["target"][~hidden])


def test_stretches_of_the_history_are_hidden_in_all_streams() -> None:
    data = replace(NOTHING_HIDDEN, mask_span=1, mask_span_seconds=1)
    batch = sequences([make_song("a", "train")], data).batch(0, 0, range(100))
    hidden = batch["history"] == MASK
    assert (hidden.all(1) == hidden.any(1)).all()
    lengths = hidden.any(1).sum(1)
    assert (lengths.min(), lengths.max()) == (1, 43)
    jumps = (hidden[:, 0, 1:] != hidden[:, 0, :-1]).sum(1)
    assert jumps.max() <= 2  # each item has one stretch


def test_all_notes_are_hidden_in_some_items() -> None:
    data = replace(NOTHING_HIDDEN, mask_notes=0.3)
    batch = sequences([make_song("a", "train")], data).batch(0, 0, range(400))
    hidden = batch["history"] == MASK
    assert not hidden[:, 1:].any()
    assert (hidden[:, 0].all(1) == hidden[:, 0].any(1)).all()
    assert hidden[:, 0].all(1).float().mean() == pytest.approx(0.3, abs=0.06)
    assert (batch["note_weight"] == 0.5).all()  # they are learnt all the same


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
    short = SongTokens.of(make_song("a", "valid", frames=50))
    assert whole_windows([short], WINDOW, at_most=10) == [Window(short, 0, WINDOW)]


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    """Two training songs and two for validation."""
    splits = {"a": "train", "b": "train", "c": "valid", "d": "valid"}
    songs = [make_song(name, split) for name, split in splits.items()]
    return write_codes(tmp_path / "codes", songs)


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
