"""The plain encoder-decoder: what it reads, how it is trained, and that it samples what it says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.config import load_config
from shared.errors import UserError
from stage2_prior.naive.network import NaivePrior, NaiveSizes, load_naive_prior
from stage2_prior.naive.sampling import sample_codes
from stage2_prior.naive.sequences import PairedSong, random_windows, window
from stage2_prior.naive.train import PRESETS, NaiveConfig, train_naive_prior
from stage2_prior.sampling_defaults import SamplingDefaults
from tests.toy_songs import FORMAT, make_song, write_codes

GREEDY = SamplingDefaults(temperature=0)


@pytest.fixture(scope="module")
def model() -> NaivePrior:
    torch.manual_seed(0)
    return NaivePrior(NaiveSizes(dim=32, heads=2, depth=2, window_seconds=1.0), FORMAT).eval()


def test_a_window_of_less_than_two_frames_is_refused() -> None:
    format = replace(FORMAT, hop=3 * FORMAT.sample_rate)
    with pytest.raises(UserError, match=r"'model\.window_seconds' is 1 s, .*: set 6 or more"):
        NaivePrior(NaiveSizes(dim=32, heads=2, depth=1, window_seconds=1.0), format)


def accompaniment(frames: int, seed: int = 0) -> np.ndarray:
    shape = (len(FORMAT.sources), FORMAT.codebooks, frames)
    return np.random.default_rng(seed).integers(0, FORMAT.cardinality, shape)


def logits(model: NaivePrior, heard: np.ndarray, codes: np.ndarray) -> torch.Tensor:
    given = (torch.from_numpy(each.astype(np.int64))[None] for each in (heard, codes))
    with torch.inference_mode():
        return model(*given)[0]


def test_a_frame_is_predicted_from_the_frames_before_it_and_from_the_whole_accompaniment(
    model: NaivePrior,
) -> None:
    heard, codes = accompaniment(20), accompaniment(20, seed=1)[1]
    before = logits(model, heard, codes)
    later = codes.copy()
    later[:, 10:] = (later[:, 10:] + 1) % FORMAT.cardinality
    moved = (logits(model, heard, later) - before).abs().amax((1, 2))
    first = 10 - model.pattern.longest + 1  # whose last codes are written after frame 10's first
    assert moved[:first].max() == 0
    assert moved[first:].min() > 0
    other = heard.copy()
    other[0, 0, -1] = (other[0, 0, -1] + 1) % FORMAT.cardinality
    assert (logits(model, other, codes) - before).abs().amax((1, 2)).min() > 0


def test_greedy_sampling_takes_the_most_probable_code_after_what_was_sampled(
    model: NaivePrior,
) -> None:
    heard = accompaniment(model.window)
    codes = sample_codes(model, heard, GREEDY)
    assert torch.equal(
        logits(model, heard, codes).argmax(-1).T, torch.from_numpy(codes.astype(np.int64))
    )


def test_long_songs_are_written_in_windows_that_continue_each_other(model: NaivePrior) -> None:
    half = model.window - model.window // 2
    heard = accompaniment(model.window + half)
    codes = sample_codes(model, heard, GREEDY)
    assert np.array_equal(
        codes[:, : model.window], sample_codes(model, heard[..., : model.window], GREEDY)
    )
    second = logits(model, heard[..., half:], codes[:, half:]).argmax(-1).T.numpy()
    known = model.window - half
    assert np.array_equal(second[:, known:], codes[:, model.window :])


def test_the_seed_decides_what_is_sampled(model: NaivePrior) -> None:
    heard, free = accompaniment(12), SamplingDefaults(temperature=1.0)
    one, again, other = (sample_codes(model, heard, free, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_codes_of_another_format_are_refused(model: NaivePrior) -> None:
    with pytest.raises(UserError, match=r"\[4, 3, 9\].*use its own codec"):
        sample_codes(model, accompaniment(9)[:, :3], GREEDY)


def test_a_window_is_padded_after_the_end_of_the_song() -> None:
    song = PairedSong.of(make_song("a", "train", frames=10))
    cut = window(song, 4, 8)
    assert cut["weight"].tolist() == [1.0] * 6 + [0.0] * 2
    assert np.array_equal(cut["target"][:, :6], song.bass[:, 4:])
    assert cut["accompaniment"].shape == (4, 8, 8)


def test_items_do_not_depend_on_how_a_batch_is_shared() -> None:
    songs = [PairedSong.of(make_song(name, "train", frames=60)) for name in "ab"]
    whole = random_windows(songs, 20, 0, 3, range(4))["target"]
    odd = random_windows(songs, 20, 0, 3, range(1, 4, 2))["target"]
    assert torch.equal(whole[1::2], odd)


def test_training_leaves_a_checkpoint_that_can_be_loaded(tmp_path: Path) -> None:
    splits = {"a": "train", "b": "valid", "c": "valid"}
    songs = [make_song(name, split) for name, split in splits.items()]
    codes = write_codes(tmp_path / "codes", songs)
    config = load_config(NaiveConfig, PRESETS, "tiny")
    path = train_naive_prior(codes, tmp_path / "run", config, device="cpu")
    loaded = load_naive_prior(tmp_path / "run")
    assert loaded.format == FORMAT
    assert loaded.config == config.model
    content = json.loads(path.with_suffix(".json").read_text())
    assert content["metrics"]["bits_per_code_song"] == pytest.approx(6, abs=0.5)  # of 64 entries
    with pytest.raises(UserError, match="already holds a training run"):
        train_naive_prior(codes, tmp_path / "run", config, device="cpu")
