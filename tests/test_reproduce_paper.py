"""`reproduce-paper`, from stems to a report with the paper's figures beside ours."""

import json
import re
from pathlib import Path

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

import cli
from shared.config import load_config
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.cost import gpu_hours, operations_per_step
from stage1_vqvae.reproduce import announcement


def paper(*overrides: str) -> VQVAEConfig:
    return load_config(VQVAEConfig, PRESETS, "paper", overrides=overrides)


def test_operations_grow_with_the_batch_and_hours_with_operations() -> None:
    small = ("model.encoder_width=16", "model.decoder_width=16", "remix.segment_seconds=0.5")
    one = operations_per_step(paper(*small, "train.batch_size=1"))
    assert operations_per_step(paper(*small, "train.batch_size=3")) == 3 * one
    wider = ("model.decoder_width=32", *small[:1], *small[2:], "train.batch_size=1")
    assert operations_per_step(paper(*wider)) > one
    train = paper().train
    hours = gpu_hours(0.35 * 19.5e12 * 3600, train)
    assert hours["A100"] == pytest.approx(1)
    assert hours["H100"] < 1
    said = announcement(paper(*small, "train.steps=7"))
    assert said.startswith("3 trainings of 7 steps need ")


def test_the_whole_paper_in_one_command(stem_folder: Path, tmp_path: Path) -> None:
    """It says the time first, leaves all figures, and trains nothing again when it is repeated."""
    out = tmp_path / "paper"
    command = f"reproduce-paper --data {stem_folder} --out {out} --preset tiny --prior-preset tiny"
    arguments = [*command.split(), "--device", "cpu", "--seconds", "1"]
    first = CliRunner().invoke(cli.app, arguments)
    assert first.exit_code == 0, first.stderr
    assert first.stderr.index("on one A100") < first.stderr.index("variant: full")
    made = {path.name for path in out.iterdir()}
    assert made == {"ablation", "bass.png", "codec", "codes", "prior", "report.json", "report.md"}
    assert imread(out / "bass.png").std() > 0
    page = (out / "report.md").read_text()
    assert page == first.stdout
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", page):
        assert (out / picture).is_file()
    content = json.loads((out / "report.json").read_text())
    points = {point["name"]: point for point in content["points"]}
    assert points["songs (train, valid, test)"]["paper"] == "86, 14, 50"
    assert points["songs (train, valid, test)"]["ours"] == "2, 1, 1"
    assert points["mean SDR, full, dB"]["paper"] == "1.31"
    full = content["ablation"]["variants"][0]
    assert points["mean SDR, full, dB"]["ours"] == f"{full['mean']:.2f}"
    change = points["bass without complement minus full, dB"]
    assert change["paper"] == "-1.79"
    ranking = "full, without STFT, without complement"
    assert points["variants from the best mean SDR"]["paper"] == ranking
    weights = out / "ablation" / "full" / "model.safetensors"
    trained = weights.stat().st_mtime_ns
    again = CliRunner().invoke(cli.app, arguments)
    assert again.stdout == first.stdout
    assert weights.stat().st_mtime_ns == trained
