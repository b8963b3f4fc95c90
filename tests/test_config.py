"""Presets load, overrides win, and every mistake is named."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from shared.config import config_from_dict, config_to_dict, load_config
from shared.errors import UserError, require
from stage1_vqvae.config import PRESETS, VQVAEConfig


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"
    betas: tuple[float, float] = (0.9, 0.99)
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(self.rate > 0, "'inner.rate' must be above 0")


@dataclass(frozen=True)
class Outer:
    steps: int = 10
    quiet: bool = False
    name: str = ""
    inner: Inner = field(default_factory=Inner)


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text("steps = 3\n[inner]\nrate = 0.1\n")
    return tmp_path


def load(presets: Path, *overrides: str, preset: str | None = "small") -> Outer:
    return load_config(Outer, presets, preset, overrides=overrides)


def test_later_sources_win(presets, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("steps = 4\nquiet = true\n")
    config = load_config(Outer, presets, "small", file, ["steps=5", "inner.kind=b"])
    assert config == Outer(steps=5, quiet=True, inner=Inner(rate=0.1, kind="b"))


def test_without_a_preset_the_defaults_hold(presets):
    assert load(presets, preset=None) == Outer()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("inner.rate=1e-3", Outer(3, inner=Inner(rate=1e-3))),
        ("inner.rate=2", Outer(3, inner=Inner(rate=2.0))),
        ("name=plain words", Outer(3, name="plain words", inner=Inner(rate=0.1))),
        ('name="7"', Outer(3, name="7", inner=Inner(rate=0.1))),
        ("inner.betas=[0, 1]", Outer(3, inner=Inner(rate=0.1, betas=(0.0, 1.0)))),
        ("inner.sizes=[1, 2, 3]", Outer(3, inner=Inner(rate=0.1, sizes=(1, 2, 3)))),
    ],
)
def test_override_values_are_toml_or_bare_strings(presets, override, expected):
    assert load(presets, override) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stps=3", "no setting 'stps'; did you mean 'steps'"),
        ("inner.rat=3", "no setting 'inner.rat'; did you mean 'inner.rate'"),
        ("zzz=3", "no setting 'zzz'$"),
        ("steps", "section.key=value"),
        ("=3", "section.key=value"),
        ("steps=true", "'steps' must be of type int, not True"),
        ("steps=1.5", "'steps' must be of type int"),
        ("quiet=1", "'quiet' must be of type bool"),
        ("inner.rate=fast", "'inner.rate' must be of type float"),
        ("inner.rate=true", "'inner.rate' must be of type float"),
        ("inner.rate=-1", "'inner.rate' must be above 0"),
        ("inner.kind=c", "'inner.kind' must be one of a, b"),
        ("inner.betas=[1.0]", "'inner.betas' must be of type tuple"),
        ("inner.sizes=[1, 'x']", r"'inner.sizes\[1\]' must be of type int"),
        ("inner=3", "'inner' is a section"),
    ],
)
def test_mistakes_are_named(presets, override, message):
    with pytest.raises(UserError, match=message):
        load(presets, override)


def test_an_unknown_preset_lists_the_known(presets):
    with pytest.raises(UserError, match=r"no preset 'big': choose one of small"):
        load(presets, preset="big")


def test_unreadable_files(presets, tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        load_config(Outer, presets, file=tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("steps = = 3")
    with pytest.raises(UserError, match="not valid TOML"):
        load_config(Outer, presets, file=broken)


@pytest.mark.parametrize("preset", ["paper", "compact", "tiny"])
def test_stage_1_presets_survive_json(preset):
    config = load_config(VQVAEConfig, PRESETS, preset)
    plain = json.loads(json.dumps(config_to_dict(config)))
    assert config_from_dict(VQVAEConfig, plain) == config


def test_the_paper_preset_has_the_papers_losses_and_optimiser():
    config = load_config(VQVAEConfig, PRESETS, "paper")
    loss = config.loss
    assert (loss.waveform, loss.stft, loss.complement) == (1, 1, True)
    assert (loss.snr, loss.magnitude, loss.usage) == (0, 0, 0)
    assert (config.train.optimizer, config.train.learning_rate) == ("adam", 1e-4)
    assert config.model.shared_codebooks
    assert config.model.sample_rate == 44100
    assert config.remix.coherent == 0
