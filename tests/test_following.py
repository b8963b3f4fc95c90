"""What a run says and keeps while it trains, and how it may be changed when it goes on."""

import csv
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import cli
from shared.errors import UserError
from shared.training.checkpoint import load_checkpoint
from shared.training.loop import fit
from shared.training.optimizers import set_learning_rate
from shared.training.run_record import read_record
from shared.training.task import Sound, SplitSize
from tests.toy_task import (
    AVERAGED,
    SETTINGS,
    Interrupted,
    Regression,
    Scored,
    assert_same_state,
    files,
    metrics,
    state,
)


class Sized(Regression):
    """Knows its songs."""

    def splits(self) -> dict[str, SplitSize]:
        return {"train": SplitSize.of([5400.0, 1800.0]), "valid": SplitSize.of([90.0])}


class Sounding(Interrupted):
    """Has a tone to listen to."""

    def sounds(self, model: nn.Module) -> dict[str, Sound]:
        tone = np.sin(0.3 * np.arange(8000, dtype=np.float32))
        return {"a tone": Sound(np.stack((tone, tone)), 8000)}


def table_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_start_says_what_the_run_will_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(Sized(), SETTINGS, tmp_path / "run", device="cpu")
    said = [line.rstrip() for line in capsys.readouterr().err.splitlines()]
    assert said[0] == f"training toy into {tmp_path / 'run'}"
    shown = dict(line.split("  ", 1) for line in said[1:7])
    assert shown["device"].strip().startswith("cpu, ")
    assert shown["parameters"].strip() == "0.00 million"
    assert shown["train"].strip() == "2 songs, 2.0 hours"
    assert shown["valid"].strip() == "1 song, 1.5 minutes"
    assert shown["steps"].strip() == "6 with 4 examples each"
    assert shown["disk"].strip().startswith("0.0 MB of ")
    assert any(re.match(r"\S+ s a step: .* for 1 more step, validation not", line) for line in said)


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, ema_decay=0.0)])
def test_the_expected_disk_space_is_what_is_needed_at_most(tmp_path: Path, settings: Any) -> None:
    from shared.training.announcement import expected_bytes
    from shared.training.optimizers import make_average, make_optimizers
    from shared.training.state import Run

    class Large(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Sequential(nn.Linear(3, 3000), nn.Tanh(), nn.Linear(3000, 1))

    task = Large()
    settings = replace(settings, keep_every=2, keep_last=0)
    run = Run(task.model, make_optimizers(task.model, settings), None, None)  # type: ignore[arg-type]
    run.average = make_average(task.model, settings)
    fit(task, settings, tmp_path, device="cpu")
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    # While a file is replaced, the old one and the new one are there.
    twice = sum((tmp_path / f"{name}.safetensors").stat().st_size for name in ("state", "model"))
    assert expected_bytes(run, settings) == pytest.approx(used + twice, rel=0.1)


def test_validation_is_tried_before_the_first_step(tmp_path: Path) -> None:
    tried: list[int | None] = []

    class Failing(Regression):
        def validate(self, model: nn.Module, at_most: int | None = None) -> dict[str, float]:
            tried.append(at_most)
            raise UserError("this validation cannot work")

    with pytest.raises(UserError, match="this validation cannot work"):
        fit(Failing(), SETTINGS, tmp_path / "run", device="cpu")
    assert tried == [2]
    assert files(tmp_path / "run") == [".lock"] or not files(tmp_path / "run")


def test_the_table_has_the_figures_of_the_log(tmp_path: Path) -> None:
    fit(Scored(1, math.nan, 2), SETTINGS, tmp_path, device="cpu")
    lines, table = metrics(tmp_path), table_of(tmp_path)
    assert len(table) == len(lines) == 9
    assert list(table[0]) == ["step", "split", "seconds", "loss", "learning_rate", "score"]
    for line, row in zip(lines, table, strict=True):
        found = {name: text for name, text in row.items() if text}
        assert found == {k: str(v) for k, v in line.items() if v is not None}


def test_the_table_of_an_interrupted_run_is_up_to_date(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2), SETTINGS, tmp_path, device="cpu")
    assert [row["step"] for row in table_of(tmp_path)] == ["1", "2", "2", "3"]


def test_tensorboard_has_the_figures_of_the_log(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = replace(SETTINGS, tensorboard=True)
    with pytest.raises(KeyboardInterrupt):
        fit(Sounding(at=2), settings, tmp_path, device="cpu")
    fit(Sounding(at=-1), settings, tmp_path, resume="auto", device="cpu")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Audio("a tone")] == [2, 4, 6]
    assert events.Audio("a tone")[0].sample_rate == 8000
    (picture,) = [event for event in events.Images("a tone") if event.step == 6]
    assert (picture.height, picture.width) == (512, 16)
    for split, name in (("train", "loss"), ("valid", "score")):
        logged = {m["step"]: m[name] for m in metrics(tmp_path) if m["split"] == split}
        found = {event.step: event.value for event in events.Scalars(f"{split}/{name}")}
        assert found == pytest.approx(logged)


def test_a_missing_tensorboard_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match=r"run pip install '\.\[tensorboard\]'"):
        fit(Regression(), replace(SETTINGS, tensorboard=True), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_record_has_an_entry_for_each_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["cli.py", "train-toy", "--out", "my run"])
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2), SETTINGS, tmp_path, device="cpu")
    fit(Regression(), SETTINGS, tmp_path, resume="auto", device="cpu")
    fit(Regression(), SETTINGS, tmp_path, resume="auto", device="cpu")  # nothing is left to do
    starts = read_record(tmp_path)
    assert [start["step"] for start in starts] == [0, 3]
    for start in starts:
        assert start["command"] == "cli.py train-toy --out 'my run'"
        assert start["versions"]["torch"] == torch.__version__
        assert start["settings"]["train.steps"] == 6
        assert (start["device"], start["processes"]) == ("cpu", 1)


def test_the_commit_is_that_of_the_code() -> None:
    root = Path(__file__).parents[1]
    git = ["git", "rev-parse", "HEAD"]
    found = subprocess.run(git, cwd=root, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("the code is not in a git repository")
    from shared.training.run_record import _commit

    assert (_commit() or "").rstrip("+") == found.stdout.strip()


def test_config_diff_names_what_differs(tmp_path: Path) -> None:
    fit(Regression(), SETTINGS, tmp_path / "a", device="cpu")
    fit(Regression(), replace(SETTINGS, seed=5), tmp_path / "b", device="cpu")
    runs = [str(tmp_path / name) for name in "ab"]
    result = CliRunner().invoke(cli.app, ["config", "diff", *runs])
    assert result.stdout == "train.seed: 0 -> 5\n"
    result = CliRunner().invoke(cli.app, ["config", "diff", runs[0], runs[0]])
    assert result.stdout == "the settings are the same\n"
    (tmp_path / "a" / "run.json").unlink()  # an older run: its checkpoint says less
    result = CliRunner().invoke(cli.app, ["config", "diff", *runs])
    assert "noise" not in result.stdout  # both know it
    assert "train.seed: nothing -> 5" in result.stdout
    result = CliRunner().invoke(cli.app, ["config", "diff", runs[0], str(tmp_path)])
    assert result.exit_code == 2
    assert "no settings of a run" in result.stderr


@pytest.mark.parametrize(("last", "kept"), [(2, [4, 6]), (0, [2, 4, 6])])
def test_the_weights_of_every_nth_step_are_kept(tmp_path: Path, last: int, kept: list[int]) -> None:
    settings = replace(AVERAGED, keep_every=2, keep_last=last, validate_every=4)
    fit(Regression(), settings, tmp_path, device="cpu")
    names = [f"{step:09d}" for step in kept]
    assert files(tmp_path / "steps") == sorted(
        f"{name}.{kind}" for name in names for kind in ("json", "safetensors")
    )
    for step, name in zip(kept, names, strict=True):
        meta = load_checkpoint(tmp_path / "steps" / f"{name}.safetensors", "toy").meta
        assert meta["step"] == step
        assert bool(meta["metrics"]) == (step in (4, 6))  # those that were validated
    last_weights = load_checkpoint(tmp_path / "steps" / "000000006.safetensors", "toy").weights
    for name, weight in last_weights.items():
        assert torch.equal(weight, state(tmp_path)[f"average.module.{name}"].half())


def test_a_run_without_progress_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(SETTINGS, steps=20, patience=2)
    path = fit(Scored(1, 3, math.nan, 2, 9), settings, tmp_path, device="cpu")
    assert metrics(tmp_path)[-1]["step"] == 8
    assert "stopped at step 8: 2 validations gave no better score" in capsys.readouterr().err
    assert load_checkpoint(path, "toy").meta["step"] == 4
    before = (tmp_path / "state.safetensors").read_bytes()
    fit(Scored(), settings, tmp_path, resume="auto", device="cpu")
    assert (tmp_path / "state.safetensors").read_bytes() == before
    longer = replace(settings, patience=3)  # more patience lets it go on
    fit(Scored(2.5), longer, tmp_path, resume="auto", device="cpu")
    assert metrics(tmp_path)[-1]["step"] == 10


def test_patience_is_counted_on_when_a_run_is_resumed(tmp_path: Path) -> None:
    class Cut(Scored):
        def loss(
            self, model: nn.Module, batch: dict[str, torch.Tensor], step: int
        ) -> dict[str, torch.Tensor]:
            if step == 4:
                raise MemoryError
            return super().loss(model, batch, step)

    settings = replace(SETTINGS, steps=20, patience=2)
    with pytest.raises(MemoryError):
        fit(Cut(5, 1), settings, tmp_path, device="cpu")
    fit(Scored(1, 1, 1), settings, tmp_path, resume="auto", device="cpu")
    assert metrics(tmp_path)[-1]["step"] == 6


@pytest.mark.parametrize("cut", [False, True])
def test_a_lengthened_run_follows_the_schedule_of_its_new_length(
    tmp_path: Path, cut: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it was finished or stopped before; and stopped again, it goes on in the same way."""
    longer = replace(SETTINGS, steps=12)
    if cut:
        with pytest.raises(KeyboardInterrupt):
            fit(Interrupted(3), SETTINGS, tmp_path / "run", device="cpu")
    else:
        fit(Regression(), SETTINGS, tmp_path / "run", device="cpu")
    begin = metrics(tmp_path / "run")[-1]["step"]
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(8), longer, tmp_path / "run", "auto", device="cpu")
    assert "goes on to step 12 instead of 6: from here on, its schedule is that of a run of 12" in (
        capsys.readouterr().err
    )
    fit(Regression(), longer, tmp_path / "run", "auto", device="cpu")
    assert "instead of" not in capsys.readouterr().err
    rates = {
        line["step"]: line["learning_rate"]
        for line in metrics(tmp_path / "run")
        if line["split"] == "train"
    }
    expected = {
        step: set_learning_rate([], SETTINGS if step <= begin else longer, step - 1)
        for step in range(1, 13)
    }
    assert rates == pytest.approx(expected)


def test_with_a_constant_rate_a_lengthened_run_is_a_longer_one(tmp_path: Path) -> None:
    constant = replace(SETTINGS, schedule="constant")
    fit(Regression(), replace(constant, steps=12), tmp_path / "long", device="cpu")
    fit(Regression(), constant, tmp_path / "run", device="cpu")
    fit(Regression(), replace(constant, steps=12), tmp_path / "run", "auto", device="cpu")
    assert_same_state(tmp_path / "long", tmp_path / "run")


def test_a_run_is_not_shortened(tmp_path: Path) -> None:
    fit(Regression(), SETTINGS, tmp_path, device="cpu")
    with pytest.raises(UserError, match=r"other settings \(train\.steps\)"):
        fit(Regression(), replace(SETTINGS, steps=4), tmp_path, "auto", device="cpu")


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its state knows neither the newer settings nor how many validations brought nothing."""
    fit(Regression(), SETTINGS, tmp_path / "whole", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(2), SETTINGS, tmp_path / "cut", device="cpu")
    with safe_open(tmp_path / "cut" / "state.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["run"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    newer = ("accumulate", "patience", "keep_every", "keep_last", "tensorboard")
    for name in newer:
        del header["identity"][f"train.{name}"]
    del header["waited"], header["checksum"]
    save_file(tensors, tmp_path / "cut" / "state.safetensors", {"run": json.dumps(header)})
    with pytest.raises(UserError, match=r"other settings \(train\.accumulate\)"):
        fit(Regression(), replace(SETTINGS, accumulate=2), tmp_path / "cut", "auto", device="cpu")
    fit(Regression(), SETTINGS, tmp_path / "cut", "auto", device="cpu")
    assert_same_state(tmp_path / "whole", tmp_path / "cut")


def test_an_accumulated_batch_is_the_whole_batch(tmp_path: Path) -> None:
    """It has the same examples, in parts; the gradient is the mean of those of the parts."""
    for parts in (1, 2, 4):
        accumulated = replace(SETTINGS, accumulate=parts)
        fit(Regression(), accumulated, tmp_path / str(parts), device="cpu")
    one = state(tmp_path / "1")
    for parts in (2, 4):
        other = state(tmp_path / str(parts))
        for name, tensor in one.items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=1e-4)
        losses = [
            [line["loss"] for line in metrics(tmp_path / str(n)) if "loss" in line]
            for n in (1, parts)
        ]
        assert losses[0]
        assert losses[1] == pytest.approx(losses[0], rel=1e-3)
