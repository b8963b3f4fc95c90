"""A checkpoint comes back as it was saved, or one sentence says why not."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import torch
from safetensors.torch import load_file, save_file

from shared.config import Range
from shared.errors import UserError
from shared.training.checkpoint import (
    FORMAT,
    fingerprint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3).half(), "b": torch.ones(1)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model.safetensors", WEIGHTS, {"stage": "vqvae", "step": 7})
    return tmp_path


def edit(run: Path, **changes: object) -> None:
    file = run / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_round_trip_by_folder_and_by_file(run: Path, name: str) -> None:
    loaded = load_checkpoint(run / name, "vqvae")
    assert loaded.path == run / "model.safetensors"
    assert loaded.meta["step"] == 7
    assert loaded.meta["fingerprint"] == fingerprint(WEIGHTS)
    assert loaded.weights.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert loaded.weights[name].dtype == tensor.dtype
        assert torch.equal(loaded.weights[name], tensor)


def test_nothing_but_the_two_files_is_left(run: Path) -> None:
    assert sorted(p.name for p in run.iterdir()) == ["model.json", "model.safetensors"]


def test_weights_that_are_not_contiguous_are_saved_right(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model.safetensors", {"a": WEIGHTS["a"].T}, {"stage": "prior"})
    assert torch.equal(load_checkpoint(tmp_path, "prior").weights["a"], WEIGHTS["a"].T)


def test_the_fingerprint_tells_weights_apart() -> None:
    other = {**WEIGHTS, "b": torch.full((1,), 1 + 1e-6)}
    renamed = {"a": WEIGHTS["a"], "c": WEIGHTS["b"]}
    prints = {fingerprint(w) for w in (WEIGHTS, other, renamed)}
    assert len(prints) == 3
    assert fingerprint(dict(reversed(WEIGHTS.items()))) in prints


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "nowhere", "vqvae")


def test_of_another_stage(run: Path) -> None:
    with pytest.raises(UserError, match="of stage 'vqvae', but one of 'prior'"):
        load_checkpoint(run, "prior")


def without_header(run: Path) -> None:
    """Make the weights' file one of the first versions, which kept the JSON only beside it."""
    save_file(load_file(run / "model.safetensors"), run / "model.safetensors")


def test_the_weights_are_whole_without_the_json_beside_them(run: Path) -> None:
    meta = load_checkpoint(run, "vqvae").meta
    (run / "model.json").unlink()
    assert load_checkpoint(run, "vqvae").meta == meta
    other = {**WEIGHTS, "b": 2 * WEIGHTS["b"]}
    save_checkpoint(run / "other.safetensors", other, {"stage": "vqvae"})
    (run / "other.json").replace(run / "model.json")
    assert load_checkpoint(run, "vqvae").meta == meta


def test_what_is_edited_in_the_json_counts(run: Path) -> None:
    edit(run, step=8, note="good")
    meta = load_checkpoint(run, "vqvae").meta
    assert (meta["step"], meta["note"]) == (8, "good")


def test_a_checkpoint_of_the_first_version(run: Path) -> None:
    meta = load_checkpoint(run, "vqvae").meta
    without_header(run)
    assert load_checkpoint(run, "vqvae").meta == meta


def test_equal_checkpoints_are_equal_bytes(run: Path) -> None:
    first = [(run / name).read_bytes() for name in ("model.safetensors", "model.json")]
    for _ in range(5):
        save_checkpoint(run / "model.safetensors", WEIGHTS, {"stage": "vqvae", "step": 7})
        again = [(run / name).read_bytes() for name in ("model.safetensors", "model.json")]
        assert again == first


def test_weights_of_another_type_of_number(run: Path) -> None:
    """numpy has no bfloat16."""
    weights = {"a": torch.ones(3, dtype=torch.bfloat16), "b": torch.zeros(())}
    save_checkpoint(run / "model.safetensors", weights, {"stage": "vqvae"})
    assert torch.equal(load_checkpoint(run, "vqvae").weights["a"], weights["a"])


def test_without_its_json(run: Path) -> None:
    without_header(run)
    (run / "model.json").unlink()
    with pytest.raises(UserError, match=r"has no model\.json beside it"):
        load_checkpoint(run, "vqvae")


def test_beside_the_json_of_another(run: Path) -> None:
    without_header(run)
    other = {**WEIGHTS, "b": 2 * WEIGHTS["b"]}
    save_checkpoint(run / "other.safetensors", other, {"stage": "vqvae"})
    (run / "other.json").replace(run / "model.json")
    with pytest.raises(UserError, match=r"model\.json beside it are of different checkpoints"):
        load_checkpoint(run, "vqvae")


def test_damaged_weights(run: Path) -> None:
    file = run / "model.safetensors"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(run, "vqvae")


@pytest.mark.parametrize(
    "text", ["{", "\xff", "[]", '{"format": "1", "stage": "vqvae"}', "[" * 100_000]
)
def test_damaged_json(run: Path, text: str) -> None:
    (run / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(run, "vqvae")


def test_of_a_newer_format(run: Path) -> None:
    edit(run, format=FORMAT + 1)
    with pytest.raises(UserError, match="newer version"):
        load_checkpoint(run, "vqvae")


def test_weights_go_into_a_model_of_their_sizes_only(tmp_path: Path) -> None:
    saved, model = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    weights = {name: tensor.half() for name, tensor in saved.state_dict().items()}
    save_checkpoint(tmp_path / "model.safetensors", weights, {"stage": "prior"})
    load_weights(model, load_checkpoint(tmp_path, "prior"))
    assert torch.equal(model.weight, weights["weight"].float())
    for other in (torch.nn.Linear(3, 4), torch.nn.Bilinear(3, 2, 2)):
        with pytest.raises(UserError, match="do not fit"):
            load_weights(other, load_checkpoint(tmp_path, "prior"))


@dataclass(frozen=True)
class Sizes:
    hop: Annotated[int, Range(1, 9)]


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, r"model\.json does not fit this version: there is no 'sizes' in it"),
        ({"sizes": [3]}, r"model\.json does not fit this version: there is no 'sizes' in it"),
        ({"sizes": {"hop": 0}}, r"model\.json .*: 'sizes\.hop' must be from 1 to 9, not 0"),
        ({"sizes": {"hop": 1, "hip": 2}}, r"model\.json .*: there is no setting 'sizes\.hip'"),
        ({"sizes": {}}, r"model\.json .*: the setting 'sizes\.hop' is missing"),
    ],
)
def test_settings_of_a_checkpoint(tmp_path: Path, meta: dict[str, object], message: str) -> None:
    save_checkpoint(tmp_path / "good.safetensors", WEIGHTS, {"stage": "s", "sizes": {"hop": 3}})
    assert load_checkpoint(tmp_path / "good.safetensors", "s").read("sizes", Sizes) == Sizes(3)
    save_checkpoint(tmp_path / "model.safetensors", WEIGHTS, {"stage": "s", **meta})
    checkpoint = load_checkpoint(tmp_path, "s")
    with pytest.raises(UserError, match=message):
        checkpoint.read("sizes", Sizes)


def test_figures_that_json_lacks_become_null(run: Path) -> None:
    meta = {"stage": "vqvae", "metrics": {"score": math.nan, "sdr": -math.inf, "usage": 1.0}}
    save_checkpoint(run / "model.safetensors", WEIGHTS, meta)
    metrics = load_checkpoint(run, "vqvae").meta["metrics"]
    assert metrics == {"score": None, "sdr": None, "usage": 1.0}


def test_both_files_or_neither(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    monkeypatch.setattr("shared.training.checkpoint.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(run / "model.safetensors", {"a": torch.zeros(1)}, {"stage": "vqvae"})
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.usefixtures("deadline")
def test_a_pipe_instead_of_the_json(run: Path) -> None:
    without_header(run)
    (run / "model.json").unlink()
    os.mkfifo(run / "model.json")  # nobody writes to it: opening it would block
    with pytest.raises(UserError, match=r"has no model\.json beside it"):
        load_checkpoint(run, "vqvae")
