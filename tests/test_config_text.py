"""Settings as text: TOML that is read back as it was, and what differs."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from shared.config import load_config
from shared.config_text import as_toml, differences, flatten
from stage1_vqvae.bass_decoder.config import PRESETS as BASS_DECODER_PRESETS
from stage1_vqvae.bass_decoder.config import BassDecoderConfig
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage2_prior.config import PRESETS as PRIOR_PRESETS
from stage2_prior.config import PriorConfig
from stage2_prior.naive.train import PRESETS as NAIVE_PRESETS
from stage2_prior.naive.train import NaiveConfig


@pytest.mark.parametrize(
    ("command", "cls", "presets", "preset"),
    [
        ("train-vqvae", VQVAEConfig, PRESETS, "compact"),
        ("train-vqvae", VQVAEConfig, PRESETS, "paper"),
        ("train-bass-decoder", BassDecoderConfig, BASS_DECODER_PRESETS, "compact"),
        ("train-prior", PriorConfig, PRIOR_PRESETS, "tiny"),
        ("train-naive-prior", NaiveConfig, NAIVE_PRESETS, "tiny"),
    ],
)
def test_what_is_shown_is_a_file_of_the_same_settings(
    command: str, cls: type[Any], presets: Path, preset: str, tmp_path: Path
) -> None:
    shown = CliRunner().invoke(cli.app, ["config", "show", preset, "--of", command])
    assert shown.exit_code == 0
    config = load_config(cls, presets, preset)
    assert shown.stdout == as_toml(config)
    (tmp_path / "mine.toml").write_text(shown.stdout)
    assert load_config(cls, tmp_path, file=tmp_path / "mine.toml") == config


def test_each_value_has_what_is_allowed_beside_it() -> None:
    lines = as_toml(load_config(VQVAEConfig, PRESETS, "compact")).splitlines()
    comments = {line.split(" = ")[0]: line.partition("# ")[2] for line in lines if "#" in line}
    assert comments["kernel"] == "a whole number from 1 to 255"
    assert comments["optimizer"] == "one of adam, adamw, muon"
    assert comments["flip"] == "true or false"
    assert comments["betas"] == "a list of 2 finite numbers"


def test_an_unknown_preset_is_refused() -> None:
    shown = CliRunner().invoke(cli.app, ["config", "show", "huge"])
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "there is no preset 'huge'" in shown.stderr


def test_differences() -> None:
    one = flatten({"train": {"steps": 3, "seed": 0}, "config": {"train": {"steps": 3}, "a": 1}})
    assert one == {"train.steps": 3, "train.seed": 0, "a": 1}
    other = {"train.steps": 4, "train.seed": 0, "b": [1]}
    assert differences(one, other) == {
        "a": (1, None),
        "b": (None, [1]),
        "train.steps": (3, 4),
    }
