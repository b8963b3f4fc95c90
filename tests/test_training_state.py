"""Resuming: the same weights however a run is cut up, and one sentence where it cannot go on."""

import errno
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from shared.errors import UserError
from shared.training.checkpoint import heal_checkpoint, load_checkpoint
from shared.training.loop import fit
from shared.training.state import Run, load_state, run_identity
from tests.toy_task import (
    AVERAGED,
    SETTINGS,
    Interrupted,
    Killed,
    Regression,
    Scored,
    assert_same_state,
    files,
    header,
    metrics,
    state,
)


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


def steps_and_losses(run: Path) -> list[tuple[object, ...]]:
    return [(m["step"], m.get("loss"), m.get("score")) for m in metrics(run)]


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("at", [1, 2])
def test_interrupted_and_resumed_is_uninterrupted(
    tmp_path: Path, at: int, optimizer: Any, ema_decay: float
) -> None:
    """Ctrl-C saves the state after the step; resuming ends bit for bit where a whole run does."""
    settings = replace(SETTINGS, optimizer=optimizer, ema_decay=ema_decay)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(Regression(noise=0.1), settings, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(at, noise=0.1), settings, cut, device="cpu")
    assert header(cut)["step"] == at + 1
    assert len([line for line in metrics(cut) if line["split"] == "train"]) == at + 1
    fit(Regression(noise=0.1), settings, cut, resume="auto", device="cpu")
    assert_same_state(whole, cut)
    one, other = (load_checkpoint(folder, "toy") for folder in (whole, cut))
    assert one.meta == other.meta
    assert steps_and_losses(cut) == steps_and_losses(whole)


def test_the_gradient_scaler_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16-bit training multiplies the loss by a scale that it finds by trial."""

    def fabric_with_scaler(device: str, precision: str, sharded: bool) -> Fabric:
        """Fabric itself trains in bf16 on a CPU when it is asked for 16-mixed."""
        return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu"))

    monkeypatch.setattr("shared.training.loop.make_fabric", fabric_with_scaler)
    settings = replace(AVERAGED, steps=10, precision="16-mixed", learning_rate=0.01)

    class Steep(Interrupted):
        def loss(self, model, batch, step):  # type: ignore[no-untyped-def]
            return {"loss": 5 * super().loss(model, batch, step)["loss"]}

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(Steep(at=-1), settings, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(Steep(at=6), settings, cut, device="cpu")
    saved = header(cut)["precision"]
    assert saved["scale"] < 2**16  # where it began
    assert saved["_growth_tracker"] > 0
    fit(Steep(at=-1), settings, cut, resume="auto", device="cpu")
    assert_same_state(whole, cut)


@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_killed_and_resumed_is_uninterrupted(tmp_path: Path, at: int) -> None:
    """Without a chance to save, the run goes on from the last saving; no step is logged twice."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(Regression(), SETTINGS, whole, device="cpu")
    with pytest.raises(MemoryError):
        fit(Killed(at), SETTINGS, cut, device="cpu")
    assert header(cut)["step"] == at // 2 * 2
    fit(Regression(), SETTINGS, cut, resume="auto", device="cpu")
    assert_same_state(whole, cut)
    assert steps_and_losses(cut) == steps_and_losses(whole)


def test_the_best_score_so_far_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(_interrupted(Scored(5.0), at=2), SETTINGS, tmp_path, device="cpu")
    fit(Scored(4.0, 3.0), SETTINGS, tmp_path, resume="auto", device="cpu")
    assert load_checkpoint(tmp_path, "toy").meta["step"] == 2


def test_the_time_spent_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("shared.training.loop.time.monotonic", lambda: float(next(clock)))
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2), SETTINGS, tmp_path, device="cpu")
    fit(Regression(), SETTINGS, tmp_path, resume="auto", device="cpu")
    seconds = [m["seconds"] for m in metrics(tmp_path) if m["split"] == "train"]
    assert seconds == [10, 20, 30, 40, 50, 60]


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    before = contents(tmp_path)
    before.pop("state.safetensors")
    fit(Regression(), SETTINGS, tmp_path, resume="auto", device="cpu")
    after = contents(tmp_path)
    after.pop("state.safetensors")
    assert after == before


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_finished_run_whose_weights_are_lost_is_an_error(tmp_path: Path, how: str) -> None:
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    if how == "gone":
        (tmp_path / "model.safetensors").unlink()
    else:
        os.truncate(tmp_path / "model.safetensors", 100)
    with pytest.raises(UserError, match=r"is finished, but its model\.safetensors is gone or dam"):
        fit(Regression(), SETTINGS, tmp_path, resume="auto", device="cpu")


def test_a_run_that_goes_on_without_its_best_weights_writes_the_next_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(_interrupted(Scored(5.0), at=2), SETTINGS, tmp_path, device="cpu")
    (tmp_path / "model.safetensors").unlink()
    path = fit(Scored(4.0, 3.0), SETTINGS, tmp_path, resume="auto", device="cpu")
    assert "model.safetensors is gone or damaged: the next validation writes it" in (
        capsys.readouterr().err
    )
    assert load_checkpoint(path, "toy").meta["step"] == 4


def test_a_state_without_a_checksum_is_continued(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(Regression(), SETTINGS, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2), SETTINGS, cut, device="cpu")
    _rewrite(cut, unsigned)
    fit(Regression(), SETTINGS, cut, resume="auto", device="cpu")
    one, other = state(whole), state(cut)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_no_changed_byte_of_a_state_goes_unnoticed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(1), SETTINGS, tmp_path, device="cpu")
    whole = (tmp_path / "state.safetensors").read_bytes()
    for place in range(0, len(whole), 97):
        changed = bytearray(whole)
        changed[place] ^= 4
        (tmp_path / "state.safetensors").write_bytes(changed)
        run = Run(Regression().model, [], None, Precision())
        with pytest.raises(UserError, match=r"is damaged|by another version"):
            load_state(tmp_path, run, {})


def test_what_a_death_between_weights_and_json_leaves_is_healed(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fit(Scored(1.0, 3.0, 2.0), SETTINGS, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(_interrupted(Scored(1.0), at=2), SETTINGS, cut, device="cpu")
    before = (cut / "model.json").read_text()
    for left in (before.replace('"fingerprint": "', '"fingerprint": "0'), None):
        if left is None:
            (cut / "model.json").unlink()
        else:
            (cut / "model.json").write_text(left)
        heal_checkpoint(cut / "model.safetensors")
        assert (cut / "model.json").read_text() == before
    (cut / "model.json").unlink()
    fit(Scored(0.5, 0.25), SETTINGS, cut, resume="auto", device="cpu")
    assert (cut / "model.json").read_text() == before


def test_the_log_is_not_written_to_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shared.training.run_log.jsonable", fail)
    with pytest.raises(UserError, match=f"^no space left in {tmp_path}:"):
        fit(Regression(), SETTINGS, tmp_path, device="cpu")
    assert header(tmp_path)["step"] == 0


def test_a_folder_with_only_a_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    for path in tmp_path.iterdir():
        if path.name != "model.json":
            path.unlink()
    before = contents(tmp_path)
    for resume in ("never", "auto"):
        with pytest.raises(UserError, match=r"holds model\.json of a run, but no state"):
            fit(Regression(), SETTINGS, tmp_path, resume, device="cpu")
    assert contents(tmp_path) == before


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read everything
    with pytest.raises(UserError, match=r"^cannot read .*run \(Permission denied\): choose"):
        fit(Regression(), SETTINGS, tmp_path / "run", device="cpu")


def test_two_trainings_in_one_folder(tmp_path: Path) -> None:
    """The second is refused with the first one's name, and the first is not disturbed."""
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    fit(Regression(), SETTINGS, whole, device="cpu")
    refusals: list[str] = []

    class Disturbed(Regression):
        def make_batch(self, step: int, rank: int, world: int) -> dict[str, torch.Tensor]:
            if step == 3 and not refusals:
                with pytest.raises(UserError) as caught:
                    fit(Regression(), SETTINGS, shared, "auto", device="cpu")
                refusals.append(str(caught.value))
            return super().make_batch(step, rank, world)

    fit(Disturbed(), SETTINGS, shared, device="cpu")
    assert refusals == [
        f"{shared} is being trained by process {os.getpid()}: wait for it, or choose another --out"
    ]
    assert_same_state(whole, shared)
    assert files(shared) == files(whole)


def test_auto_starts_where_there_is_nothing(tmp_path: Path) -> None:
    assert fit(Regression(), SETTINGS, tmp_path / "new", resume="auto", device="cpu").is_file()


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"already holds a training run.*--resume auto"):
        fit(Regression(), SETTINGS, tmp_path, device="cpu")
    assert contents(tmp_path) == before


def test_changed_settings_are_named_once(tmp_path: Path) -> None:
    class Stage(Regression):
        """Repeats the training settings in its metadata, as both stages do."""

        def metadata(self) -> dict[str, object]:
            config = {"model": {"size": self.noise}, "train": {"betas": [0.9, 0.99 - self.noise]}}
            return {"model": config["model"], "config": config}

    fit(Stage(), SETTINGS, tmp_path, device="cpu")
    before = contents(tmp_path)
    changed = replace(SETTINGS, betas=(0.9, 0.49), learning_rate=0.1)
    with pytest.raises(UserError) as caught:
        fit(Stage(noise=0.5), changed, tmp_path, resume="auto", device="cpu")
    assert "(model.size, train.betas, train.learning_rate): give the same" in str(caught.value)
    assert contents(tmp_path) == before


def test_the_identity_of_a_run_has_every_setting_once() -> None:
    identity = run_identity(SETTINGS, {"config": {"train": {"steps": 6}}, "codes": {"hop": 1}})
    assert identity["train.steps"] == 6
    assert identity["codes.hop"] == 1
    assert not [name for name in identity if name.startswith("config")]


def test_settings_that_change_no_weights_may_change(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    changed = replace(SETTINGS, workers=2, log_every=3)
    fit(Regression(), changed, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2), SETTINGS, cut, device="cpu")
    fit(Regression(), changed, cut, resume="auto", device="cpu")
    assert_same_state(whole, cut)


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for resume in ("never", "auto"):
        with pytest.raises(UserError, match="file is not a folder"):
            fit(Regression(), SETTINGS, tmp_path / "file" / "run", resume, device="cpu")


def no_state(run: Path) -> None:
    (run / "state.safetensors").unlink()


def cut_short(run: Path) -> None:
    os.truncate(run / "state.safetensors", 1000)


def empty(run: Path) -> None:
    os.truncate(run / "state.safetensors", 0)


def without_header(run: Path) -> None:
    save_file(state(run), run / "state.safetensors")


def of_an_older_version(run: Path) -> None:
    """Version 1 kept the settings in a file beside the tensors."""
    progress = {"step": "6", "best": "-0.1", "seconds": "1.0"}
    save_file(state(run), run / "state.safetensors", progress)
    (run / "state.json").write_text("{}")


def of_a_newer_version(run: Path) -> None:
    _rewrite(run, lambda content: content | {"format": 99})


def without_a_weight(run: Path) -> None:
    _rewrite(run, unsigned, drop="model.0.weight")


def without_the_average(run: Path) -> None:
    _rewrite(run, unsigned, drop="average.module.0.weight")


def with_a_changed_weight(run: Path) -> None:
    _rewrite(run, lambda content: content, drop="model.0.bias")


def with_a_changed_step(run: Path) -> None:
    _rewrite(run, lambda content: content | {"step": 3})


def of_other_types(run: Path) -> None:
    _rewrite(run, lambda content: unsigned(content) | {"step": [], "best": {}})


def without_identity(run: Path) -> None:
    _rewrite(run, lambda content: {"format": content["format"]})


def with_a_list(run: Path) -> None:
    save_file(state(run), run / "state.safetensors", {"run": "[]"})


def nested(run: Path) -> None:
    save_file(state(run), run / "state.safetensors", {"run": "[" * 100_000})


def with_an_infinite_step(run: Path) -> None:
    _rewrite(run, lambda content: unsigned(content) | {"step": math.inf})


def with_moments_of_another_size(run: Path) -> None:
    _rewrite(run, unsigned, {"optimizer.0.0.exp_avg": torch.zeros(3)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_state, r"holds model\.safetensors of a run, but no state\.safetensors .*--out"),
        (cut_short, r"state\.safetensors is damaged .*--init-from"),
        (empty, r"state\.safetensors is damaged .*--init-from"),
        (without_header, r"state\.safetensors was written by another version .*--init-from"),
        (of_an_older_version, r"state\.safetensors was written by another version .*--init-from"),
        (of_a_newer_version, r"state\.safetensors was written by another version .*--init-from"),
        (without_a_weight, r"state\.safetensors does not fit this model: .*--init-from"),
        (without_the_average, r"state\.safetensors does not fit this model: .*--init-from"),
        (with_a_changed_weight, r"damaged \(its checksum is wrong\): .*--init-from"),
        (with_a_changed_step, r"damaged \(its checksum is wrong\): .*--init-from"),
        (of_other_types, r"state\.safetensors does not fit this model: .*--init-from"),
        (without_identity, r"state\.safetensors does not fit this model: .*--init-from"),
        (with_a_list, r"state\.safetensors was written by another version .*--init-from"),
        (nested, r"state\.safetensors is damaged .*--init-from"),
        (with_an_infinite_step, r"state\.safetensors does not fit this model: .*--init-from"),
        (with_moments_of_another_size, r"state\.safetensors does not fit this model: .*--init"),
    ],
)
def test_a_state_that_cannot_be_resumed(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    damage(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        fit(Regression(), SETTINGS, tmp_path, resume="auto", device="cpu")
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


def test_a_log_without_a_state_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    for resume in ("never", "auto"):
        with pytest.raises(UserError, match=r"holds metrics\.jsonl of a run, but no state"):
            fit(Regression(), SETTINGS, tmp_path, resume, device="cpu")
    assert files(tmp_path) == ["metrics.jsonl"]


def test_damaged_lines_of_the_log_are_dropped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2), SETTINGS, tmp_path, device="cpu")
    kept = metrics(tmp_path)
    noise = [b"{", b"\xff\xfe", b"", b"[]", b"3", b'{"loss": 1}', b'{"step": "x"}', b'{"step": []}']
    with (tmp_path / "metrics.jsonl").open("ab") as log:
        log.write(b"\n".join([*noise, b'{"step": 1}']))  # the last line has no end
    fit(Regression(), SETTINGS, tmp_path, resume="auto", device="cpu")
    assert metrics(tmp_path)[: len(kept)] == kept
    assert [m["step"] for m in metrics(tmp_path)[len(kept) :]] == [4, 4, 5, 6, 6]


def test_the_state_is_one_file_that_says_it_all(tmp_path: Path) -> None:
    fit(Regression(noise=0.5), SETTINGS, tmp_path, device="cpu")
    content = header(tmp_path)
    assert content["step"] == 6
    assert content["best"] == max(m["score"] for m in metrics(tmp_path) if m["split"] == "valid")
    assert content["identity"]["noise"] == 0.5
    assert content["identity"]["train.betas"] == [0.9, 0.99]
    assert {name.split(".")[0] for name in state(tmp_path)} == {"model", "average", "optimizer"}


def _interrupted(task: Scored, at: int) -> Scored:
    """Make a task receive Ctrl-C in step `at`."""
    loss = task.loss
    stopper = Interrupted(at)

    def interrupted(model, batch, step):  # type: ignore[no-untyped-def]
        stopper.loss(model, batch, step)
        return loss(model, batch, step)

    task.loss = interrupted  # type: ignore[method-assign]
    return task


def unsigned(content: dict[str, object]) -> dict[str, object]:
    """The header of a state as it was before there was a checksum."""
    return {name: value for name, value in content.items() if name != "checksum"}


def _rewrite(
    run: Path,
    change: Callable[[dict[str, object]], dict[str, object]],
    other: dict[str, torch.Tensor] | None = None,
    drop: str = "",
) -> None:
    """Change the header of a state and some tensors, and leave one tensor out."""
    path = run / "state.safetensors"
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["run"])
    tensors = {k: torch.clone(v) for k, v in load_file(path).items() if k != drop}
    save_file(tensors | (other or {}), path, {"run": json.dumps(change(content))})
