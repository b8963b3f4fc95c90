"""Training of the prior: one run for each part, and what the runs leave and continue."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from shared.config import load_config
from shared.errors import UserError, UserErrors
from stage2_prior import train
from stage2_prior.balance import BalanceRange
from stage2_prior.composer.material import composed_song
from stage2_prior.config import PARTS, PRESETS, PriorConfig
from stage2_prior.corpus import open_corpus
from stage2_prior.listener.network import Listener
from stage2_prior.model import Prior, load_prior
from stage2_prior.sampling import SamplingSettings, generate
from stage2_prior.sampling_defaults import SamplingDefaults
from stage2_prior.train import train_prior
from tests.toy_songs import FORMAT, make_song, write_codes

FACTS = {
    "beats": [0.0, 0.5, 1.0, 1.5, 2.0],
    "downbeats": [0.0, 2.0],
    "chords": [{"start": 0.0, "end": 2.0, "root": 7, "quality": "maj"}],
    "bass_notes": [{"onset": t / 2, "duration": 0.4, "pitch": 30 + t} for t in range(5)],
}
RUN = {
    "metrics.csv",
    "metrics.jsonl",
    "model.json",
    "model.safetensors",
    "run.json",
    "state.safetensors",
}


def tiny(*overrides: str) -> PriorConfig:
    return load_config(PriorConfig, PRESETS, "tiny", overrides=overrides)


def only(part: str, *overrides: str) -> PriorConfig:
    return tiny(f"parts=['{part}']", *overrides)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_prior(path).state_dict()


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The parts in which a weight differs."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training songs and one for validation; of one of them the bars are not known."""
    songs = [
        make_song("a", "train", song=FACTS),
        make_song("b", "train"),
        make_song("c", "valid", song=FACTS),
    ]
    return write_codes(tmp_path_factory.mktemp("songs") / "codes", songs)


@pytest.fixture(scope="module")
def trained(codes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the whole tiny preset. Do not write into it."""
    run = tmp_path_factory.mktemp("runs") / "run"
    assert train_prior(codes, run, tiny(), device="cpu") == run / "model.safetensors"
    return run


def test_a_run_leaves_a_prior_and_a_run_for_each_part(trained: Path) -> None:
    of_parts = {f"{part}/{name}" for part in PARTS for name in RUN}
    assert files(trained) == {"model.json", "model.safetensors"} | of_parts
    for part, figure in zip(PARTS, ("root", "bits_per_second_song", "bits_per_code"), strict=True):
        lines = (trained / part / "metrics.jsonl").read_text().splitlines()
        valid = [line for line in map(json.loads, lines) if line["split"] == "valid"]
        assert [line["step"] for line in valid] == [2, 4]
        assert np.isfinite(valid[-1][figure])


def test_the_prior_has_the_weights_of_its_parts(trained: Path) -> None:
    meta = json.loads((trained / "model.json").read_text())
    assert meta["stage"] == "prior"
    assert meta["sampling"] == asdict(SamplingDefaults())
    assert meta["balance"] == asdict(BalanceRange())
    assert meta["config"]["composer"]["train"]["steps"] == 4
    prior = load_prior(trained)
    assert prior.format == FORMAT
    for part in PARTS:
        best = train.load_checkpoint(trained / part, part).weights
        for name, weight in getattr(prior, part).state_dict().items():
            assert torch.equal(weight, best[name].half().float()), (part, name)


def test_a_trained_prior_generates(trained: Path) -> None:
    prior = load_prior(trained)
    line = generate(prior, np.zeros((4, 8, 60), np.int64), SamplingSettings.of(prior, candidates=2))
    assert line.codes.shape == (8, 60)
    assert line.codes.max() < 64


def test_a_resumed_run_ends_like_one_that_was_not_interrupted(
    codes: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops while the second part is trained."""
    whole = train.ComposerTask.loss

    def stopping(task: Any, model: Any, batch: Any, step: int) -> dict[str, torch.Tensor]:
        if step == 3:
            raise RuntimeError("stopped")
        return whole(task, model, batch, step)

    monkeypatch.setattr(train.ComposerTask, "loss", stopping)
    with pytest.raises(RuntimeError, match="stopped"):
        train_prior(codes, tmp_path, tiny(), device="cpu")
    assert files(tmp_path / "composer") >= {"state.safetensors"}
    assert not (tmp_path / "performer").exists()
    assert load_prior(tmp_path).format == FORMAT  # the prior so far is whole
    monkeypatch.undo()
    with pytest.raises(UserError, match="already holds a training run"):
        train_prior(codes, tmp_path, tiny(), device="cpu")
    train_prior(codes, tmp_path, tiny(), resume="auto", device="cpu")
    assert files(tmp_path) == files(trained)
    assert not moved(weights(tmp_path), weights(trained))
    for part in PARTS:
        resumed, other = (
            load_file(run / part / "state.safetensors") for run in (tmp_path, trained)
        )
        assert all(torch.equal(resumed[name], other[name]) for name in other)


def test_a_finished_run_has_nothing_to_resume(codes: Path, tmp_path: Path) -> None:
    config = only("listener", "listener.train.steps=1")
    path = train_prior(codes, tmp_path, config, device="cpu")
    before = weights(path)
    assert train_prior(codes, tmp_path, config, resume="auto", device="cpu") == path
    assert not moved(before, weights(path))
    changed = only("listener", "listener.train.steps=1", "listener.train.batch_size=3")
    with pytest.raises(UserError, match="other settings"):
        train_prior(codes, tmp_path, changed, resume="auto", device="cpu")


def test_a_composer_does_not_go_on_with_another_listener(
    codes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = "parts=['listener', 'composer']"
    one = tiny(parts, "listener.train.steps=1", "composer.train.steps=1")
    train_prior(codes, tmp_path, one, device="cpu")
    longer = tiny(parts, "listener.train.steps=1", "composer.train.steps=2")
    train_prior(codes, tmp_path, longer, resume="auto", device="cpu")
    assert steps_of(tmp_path, "composer") == 2
    monkeypatch.setattr(train, "fingerprint", lambda weights: "of other weights")
    with pytest.raises(UserError, match=r"composer .*other settings \(weights of the listener\)"):
        train_prior(codes, tmp_path, longer, resume="auto", device="cpu")


def steps_of(run: Path, part: str) -> int:
    """How many steps the log of a part has."""
    lines = (run / part / "metrics.jsonl").read_text().splitlines()
    return max(json.loads(line)["step"] for line in lines)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_can_be_trained_alone(part: str, codes: Path, trained: Path, tmp_path: Path) -> None:
    train_prior(codes, tmp_path, only(part), device="cpu", init_from=trained)
    assert files(tmp_path) == {"model.json", "model.safetensors"} | {f"{part}/{n}" for n in RUN}
    assert moved(weights(trained), weights(tmp_path)) == {part}


def test_parts_are_trained_in_their_own_order(codes: Path, tmp_path: Path) -> None:
    steps = [f"{part}.train.steps=1" for part in PARTS]
    config = tiny("parts=['performer', 'listener']", *steps)
    train_prior(codes, tmp_path, config, device="cpu")
    times = [(tmp_path / part / "model.json").stat().st_mtime_ns for part in config.parts]
    assert times[1] < times[0]


def test_the_composer_needs_a_listener_that_is_trained(codes: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train the part 'listener' too, or give --init-from"):
        train_prior(codes, tmp_path, only("composer"), device="cpu")
    assert not files(tmp_path)


def test_the_composer_learns_from_what_the_trained_listener_hears(
    codes: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listeners: list[Listener] = []

    def recorded(song: object, listener: Listener, hearings: int, views: object) -> object:
        listeners.append(listener)
        assert hearings == 3
        assert views == ("accompaniment", "without_bass")
        assert not listener.training
        return composed_song(song, listener, hearings)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "composed_song", recorded)
    config = replace(tiny("hearings=3", "composer.train.steps=1"), parts=("listener", "composer"))
    train_prior(codes, tmp_path, config, device="cpu")
    assert len(listeners) == 3
    best = train.load_checkpoint(tmp_path / "listener", "listener").weights
    for name, weight in listeners[0].state_dict().items():
        assert torch.equal(weight, best[name])


def test_training_starts_from_another_prior(codes: Path, trained: Path) -> None:
    prior = Prior(tiny().model, FORMAT, "in training")
    train._start_from(prior, train.load_checkpoint(trained, "prior"))
    assert not moved(prior.state_dict(), weights(trained))


def test_another_codec_of_the_same_format_will_do(trained: Path, tmp_path: Path) -> None:
    format = replace(FORMAT, fingerprint="another")
    songs = [make_song("a", "train", fingerprint="another", song=FACTS)]
    other = write_codes(tmp_path / "codes", songs, format)
    config = only("listener", "listener.train.steps=1")
    path = train_prior(other, tmp_path / "run", config, device="cpu", init_from=trained)
    assert load_prior(path).format == format


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.listener.dim=32", "do not fit"),
        ("model.composer.bars=8", None),
        ("model.performer.dropout=0.5", None),
        *((f"model.{part}.heads=4", rf"another 'model\.{part}\.heads'") for part in PARTS),
        ("model.performer.delays=[0, 1, 2, 3, 4, 5, 6, 7]", r"another 'model\.performer\.delays'"),
    ],
)
def test_the_first_weights_must_fit(trained: Path, override: str, message: str | None) -> None:
    prior = Prior(tiny(override).model, FORMAT, "in training")
    checkpoint = train.load_checkpoint(trained, "prior")
    if message is None:
        train._start_from(prior, checkpoint)
    else:
        with pytest.raises(UserError, match=message):
            train._start_from(prior, checkpoint)


def test_the_first_weights_must_be_of_the_same_codes(trained: Path) -> None:
    for format in (replace(FORMAT, codebooks=4), replace(FORMAT, cardinality=32)):
        prior = Prior(tiny().model, format, "in training")
        with pytest.raises(UserError, match="8 codebooks of 64, but these have"):
            train._start_from(prior, train.load_checkpoint(trained, "prior"))


@pytest.mark.parametrize("part", PARTS)
def test_no_songs_to_train_on(part: str, trained: Path, tmp_path: Path) -> None:
    codes = write_codes(tmp_path / "codes", [make_song("a", "valid", song=FACTS)])
    with pytest.raises(UserError, match="none of the codes belong to the split 'train'"):
        train_prior(codes, tmp_path / "run", only(part), device="cpu", init_from=trained)


def test_a_song_without_notes_teaches_the_composer_nothing(trained: Path, tmp_path: Path) -> None:
    songs = [make_song("a", "train", with_notes=False), make_song("b", "valid", song=FACTS)]
    codes = write_codes(tmp_path / "codes", songs)
    with pytest.raises(UserError, match="none of the codes belong to the split 'train'"):
        train_prior(codes, tmp_path / "run", only("composer"), device="cpu", init_from=trained)


def test_validation_uses_the_valid_songs_and_without_any_the_training_songs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    songs = [
        make_song(name, split) for name, split in {"a": "train", "b": "valid", "c": "test"}.items()
    ]
    learn, valid = train._split([train.HeardSong.of(song) for song in songs])
    assert ([song.track for song in learn], [song.track for song in valid]) == (["a"], ["b"])
    assert capsys.readouterr().err == ""
    learn, valid = train._split([train.HeardSong.of(songs[0])])
    assert learn == valid
    assert "validating on training songs" in capsys.readouterr().err


def test_all_defective_songs_are_named_before_any_part_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that only the last part could not use, hours later."""
    monkeypatch.setattr(train, "fit", lambda *_: pytest.fail("a part is trained"))
    songs = {name: make_song(name, "train", song=FACTS) for name in "abcd"}
    views = songs["b"].views
    songs["b"] = replace(songs["b"], views={"accompaniment": views["accompaniment"]})
    songs["c"] = replace(songs["c"], fingerprint="another")
    codes = write_codes(tmp_path / "codes", [*songs.values()])
    (codes / "train" / "d.codes.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserErrors) as caught:
        train_prior(codes, tmp_path / "run", tiny(), device="cpu")
    *reasons, conclusion = caught.value.sentences
    expected = ("codes of 'b' hold no view 'alone'", "codes of 'c' differ", "d.codes.safetensors")
    assert len(reasons) == 3
    for reason, part in zip(reasons, expected, strict=True):
        assert part in reason
    assert conclusion == "3 songs of codes cannot be used: extract them again"


def test_codes_of_other_sources_are_refused(tmp_path: Path) -> None:
    sources = ("bass", "vocals", "drums", "other")
    song = make_song("a", "train", sources=sources, rms=dict.fromkeys(sources, 0.1))
    codes = write_codes(tmp_path / "codes", [song], replace(FORMAT, sources=sources))
    with pytest.raises(UserError, match="holds the sources bass, vocals, drums, other"):
        open_corpus(codes)
    with pytest.raises(UserError, match="holds the sources"):
        train_prior(codes, tmp_path / "run", tiny(), device="cpu")


def test_an_empty_folder_of_codes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no songs"):
        train_prior(write_codes(tmp_path / "codes", []), tmp_path / "run", tiny(), device="cpu")
