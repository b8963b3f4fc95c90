"""Presets load, overrides win, and every mistake is named in one sentence."""

import dataclasses
import json
import math
import os
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch

from shared.config import Range, config_from_dict, load_config
from shared.errors import UserError, require
from shared.training.settings import TrainSettings
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.model import VQVAE
from stage1_vqvae.train import train_vqvae
from stage2_prior.config import PRESETS as PRIOR_PRESETS
from stage2_prior.config import PriorConfig


@dataclass(frozen=True)
class Inner:
    rate: Annotated[float, Range(0, 2)] = 0.5
    kind: Literal["a", "b"] = "a"
    betas: tuple[float, float] = (0.9, 0.99)
    sizes: tuple[Annotated[int, Range(1, 9)], ...] = ()

    def __post_init__(self) -> None:
        require(len(self.sizes) < 4, "'inner.sizes' must be at most 3")


@dataclass(frozen=True)
class Outer:
    steps: int = 10
    quiet: bool = False
    name: str = ""
    free: float = 0.0
    inner: Inner = field(default_factory=Inner)


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text("steps = 3\n[inner]\nrate = 0.1\n")
    return tmp_path


def load(presets: Path, *overrides: str, preset: str | None = "small") -> Outer:
    return load_config(Outer, presets, preset, overrides=overrides)


def load_text(presets: Path, text: str, preset: str | None = "small", *overrides: str) -> Outer:
    """Load a --config file of this text."""
    file = presets / "mine.toml"
    file.write_text(text)
    return load_config(Outer, presets, preset, file, overrides)


def test_later_sources_win(presets: Path) -> None:
    config = load_text(presets, "steps = 4\nquiet = true\n", "small", "steps=5", "inner.kind=b")
    assert config == Outer(steps=5, quiet=True, inner=Inner(rate=0.1, kind="b"))


def test_without_a_preset_the_defaults_hold(presets: Path) -> None:
    assert load(presets, preset=None) == Outer()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("inner.rate=1e-3", Outer(3, inner=Inner(rate=1e-3))),
        ("inner.rate=2", Outer(3, inner=Inner(rate=2.0))),
        ("name=plain words", Outer(3, name="plain words", inner=Inner(rate=0.1))),
        ('name="7"', Outer(3, name="7", inner=Inner(rate=0.1))),
        ("name=7\nsteps = 9", Outer(3, name="7\nsteps = 9", inner=Inner(rate=0.1))),
        ("inner.betas=[0, 1]", Outer(3, inner=Inner(rate=0.1, betas=(0.0, 1.0)))),
        ("inner.sizes=[1, 2, 3]", Outer(3, inner=Inner(rate=0.1, sizes=(1, 2, 3)))),
    ],
)
def test_override_values_are_toml_or_bare_strings(
    presets: Path, override: str, expected: Any
) -> None:
    assert load(presets, override) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stps=3", "there is no setting 'stps'; did you mean 'steps'?"),
        ("inner.rat=3", "there is no setting 'inner.rat'; did you mean 'inner.rate'?"),
        ("zzz=3", "there is no setting 'zzz'"),
        ("steps", "'steps' is not an override: write it as section.key=value"),
        ("=3", "'=3' is not an override: write it as section.key=value"),
        ("inner..rate=3", "'inner..rate=3' is not an override: write it as section.key=value"),
        ("steps=true", "'steps' must be a whole number, not True"),
        ("steps=1.5", "'steps' must be a whole number, not 1.5"),
        ("quiet=1", "'quiet' must be true or false, not 1"),
        ("name=1", "'name' must be a text, not 1"),
        ("inner.rate=fast", "'inner.rate' must be a finite number, not 'fast'"),
        ("inner.rate=true", "'inner.rate' must be a finite number, not True"),
        ("inner.rate=-1", "'inner.rate' must be from 0 to 2, not -1"),
        ("inner.rate=nan", "'inner.rate' must be a finite number, not nan"),
        ("free=inf", "'free' must be a finite number, not inf"),
        (f"free={'9' * 400}", f"'free' must be a finite number, not {'9' * 57}..."),
        (f"inner.rate=0x{'f' * 9000}", "'inner.rate' must be a finite number, not what was given"),
        ("inner.kind=c", "'inner.kind' must be one of a, b, not 'c'"),
        ("inner.betas=[1.0]", "'inner.betas' must be a list of 2 finite numbers, not [1.0]"),
        ("inner.betas=0.5", "'inner.betas' must be a list of 2 finite numbers, not 0.5"),
        ("inner.sizes=[1, 'x']", "'inner.sizes[1]' must be a whole number, not 'x'"),
        ("inner.sizes=[1, 10]", "'inner.sizes[1]' must be from 1 to 9, not 10"),
        ("inner.sizes={a = 1}", "'inner.sizes' must be a list of whole numbers, not {'a': 1}"),
        ("inner.sizes=[1, 1, 1, 1]", "'inner.sizes' must be at most 3"),
        ("inner=3", "'inner' is given both as a section and as one value: keep only one"),
        (f"steps={'[' * 5000}", f"'steps' must be a whole number, not '{'[' * 56}..."),
        (
            f"steps.{'a.' * 5000}a=1",
            "'steps' is given both as a section and as one value: keep only one",
        ),
        (f"free.{'a.' * 5000}a=1", "'free' must be a finite number, not what was given"),
    ],
)
def test_mistakes_are_named(presets: Path, override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(presets, override)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("b", "'names' must be a list of some of a, b, not 'b'"),
        (["a", "c"], "'names[1]' must be one of a, b, not 'c'"),
    ],
)
def test_a_list_of_names_is_checked(given: Any, message: str) -> None:
    @dataclass(frozen=True)
    class Named:
        names: tuple[Literal["a", "b"], ...] = ()

    assert config_from_dict(Named, {"names": ["b", "a"]}) == Named(("b", "a"))
    with pytest.raises(UserError) as caught:
        config_from_dict(Named, {"names": given})
    assert str(caught.value) == message


def test_a_missing_required_field_is_named() -> None:
    @dataclass(frozen=True)
    class Needed:
        size: int

    with pytest.raises(UserError, match=r"the setting 'model\.size' is missing"):
        config_from_dict(Needed, {}, "model.")


def test_an_unknown_preset_lists_the_known(presets: Path) -> None:
    for name in ("big", "", f"{presets}/small", "x" * 300):
        with pytest.raises(UserError, match=f"no preset '{name}': choose one of small"):
            load(presets, preset=name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.toml", "No such file or directory"),
        ("pipe.toml", "it is not a regular file"),
        (".", "it is not a regular file"),
        ("x" * 300, "File name too long"),
    ],
)
@pytest.mark.usefixtures("deadline")
def test_unreadable_files(presets: Path, tmp_path: Path, name: str, reason: str) -> None:
    os.mkfifo(tmp_path / "pipe.toml")  # nobody writes to it: opening it would block
    with pytest.raises(UserError, match=f"cannot read the configuration .*: {reason}"):
        load_config(Outer, presets, file=tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = = 3", "mine.toml is not valid TOML"),
        (f"steps = {'9' * 5000}", "mine.toml is not valid TOML"),
        (f"steps = {'[' * 5000}{']' * 5000}", "mine.toml nests too deeply"),
        ("inner = 3", "'inner' is given both as a section and as one value"),
        ("[[inner]]\nrate = 1", "'inner' is given both as a section and as one value"),
        ("[steps]\na = 1", "'steps' is given both as a section and as one value"),
    ],
)
def test_files_that_are_no_settings(presets: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        load_text(presets, text)


def test_a_section_that_is_one_value(presets: Path) -> None:
    with pytest.raises(UserError, match=r"^'inner' is a section of settings and cannot be 3$"):
        load_text(presets, "inner = 3", preset=None)
    with pytest.raises(UserError, match="'inner' is given both as a section and as one value"):
        load_text(presets, "inner = 3", None, "inner.rate=1")  # the file must not be ignored
    (presets / "mine.toml").write_bytes(b"\xff")
    with pytest.raises(UserError, match="not valid TOML"):
        load_config(Outer, presets, file=presets / "mine.toml")


@pytest.mark.parametrize("preset", ["paper", "compact", "tiny"])
def test_stage_1_presets_survive_json(preset: str) -> None:
    config = load_config(VQVAEConfig, PRESETS, preset)
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    assert config_from_dict(VQVAEConfig, plain) == config


@pytest.mark.parametrize("preset", ["compact", "tiny"])
def test_stage_2_presets_survive_json(preset: str) -> None:
    config = load_config(PriorConfig, PRIOR_PRESETS, preset)
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    assert config_from_dict(PriorConfig, plain) == config


def test_the_paper_preset_has_the_papers_losses_and_optimiser() -> None:
    config = load_config(VQVAEConfig, PRESETS, "paper")
    loss = config.loss
    assert (loss.waveform, loss.stft, loss.complement) == (1, 1, True)
    assert (loss.snr, loss.magnitude, loss.usage) == (0, 0, 0)
    assert (config.train.optimizer, config.train.learning_rate) == ("adam", 1e-4)
    assert config.model.shared_codebooks
    assert config.model.sample_rate == 44100
    assert config.remix.coherent == 0


@dataclass(frozen=True)
class Number:
    """A numeric setting: its dotted name, its type, its range, and whether it is a list of such."""

    name: str
    kind: type
    limits: Range | None
    listed: bool

    def override(self, value: float) -> str:
        """Write the override that gives it a value; a list gets it once, or twice for a pair."""
        text = repr(self.kind(value)) if math.isfinite(value) else repr(value)
        return f"{self.name}=[{text}, {text}]" if self.listed else f"{self.name}={text}"

    def outside(self) -> list[float]:
        """Give the nearest numbers outside the range, and for a float also nan and infinity."""
        assert self.limits is not None
        low, high = self.limits.low, self.limits.high
        if self.kind is int:
            return [low - 1, high + 1]
        beyond = [math.nextafter(low, -math.inf), math.nextafter(high, math.inf)]
        return [*beyond, math.nan, math.inf, -math.inf, 1e308]


def numbers(cls: Any, prefix: str = "") -> Iterator[Number]:
    """List every numeric setting of a configuration class."""
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            yield from numbers(hint, f"{prefix}{name}.")
            continue
        listed = typing.get_origin(hint) is tuple
        inner = typing.get_args(hint)[0] if listed else hint
        marks = typing.get_args(inner) if typing.get_origin(inner) is Annotated else (inner,)
        if marks[0] in (int, float):
            limits = next((mark for mark in marks if isinstance(mark, Range)), None)
            yield Number(f"{prefix}{name}", marks[0], limits, listed)


ROOTS = {VQVAEConfig: PRESETS, PriorConfig: PRIOR_PRESETS}
NUMBERS = [(root, number) for root in ROOTS for number in numbers(root)]


def test_all_numeric_settings_were_found() -> None:
    names = {root: {n.name for n in numbers(root)} for root in ROOTS}
    assert len(names[VQVAEConfig]) == 54
    assert len(names[PriorConfig]) == 90
    assert {"train.betas", "train.seed", "model.layer_scale"} <= names[VQVAEConfig]
    assert {"listener.train.betas", "model.performer.delays", "hearings"} <= names[PriorConfig]


@pytest.mark.parametrize(
    ("root", "number"), NUMBERS, ids=[f"{r.__name__}-{n.name}" for r, n in NUMBERS]
)
def test_every_number_has_a_range_that_is_checked(root: Any, number: Number) -> None:
    """The numbers just outside it, and nan and infinity, are refused with the key named once."""
    assert number.limits is not None, "annotate it with a Range"
    for value in number.outside():
        with pytest.raises(UserError) as caught:
            load_config(root, ROOTS[root], "tiny", overrides=[number.override(value)])
        assert str(caught.value).count(number.name) == 1
        assert re.match(rf"'{number.name}(\[0\])?' must be ", str(caught.value))


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.__name__)
def test_all_defaults_are_in_their_ranges(root: Any) -> None:
    assert config_from_dict(root, dataclasses.asdict(root())) == root()


@pytest.mark.parametrize(
    "override",
    [
        "model.decoder_width=0",
        "train.betas=[2, 3]",
        "model.decoder_blocks=-3",
        "loss.magnitude=-1",
        "quantizer.temperature_start=0",
        "train.learning_rate=nan",
        "train.weight_decay=-0.1",
        "train.seed=-1",
        "validation.songs=0",
        "validation.seconds=nan",
        "model.layer_scale=1e308",
        "model.encoder_width=1000000000",
        "model.kernel=4",
        "remix.gain_low_db=5",
        "train.optimizer=sgd",
    ],
)
def test_bad_values_are_refused_with_the_key_named_once(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(UserError) as caught:
        load_config(VQVAEConfig, PRESETS, "tiny", overrides=[override])
    assert str(caught.value).count(key) == 1


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["model.listener.window_seconds=1e-9"], "model.listener.window_seconds"),
        (["model.listener.dim=36"], "model.listener.dim"),
        (["model.composer.dim=36"], "model.composer.dim"),
        (["model.performer.dim=36"], "model.performer.dim"),
        (["model.performer.delays=[1, 1, 2]"], "model.performer.delays"),
        (["model.performer.delays=[0, -1, 2]"], "model.performer.delays"),
        (["parts=[]"], "parts"),
        (["parts=['singer']"], "parts"),
        (
            ["composer.train.optimizer=muon", "composer.train.precision=16-mixed"],
            "train.optimizer",
        ),
    ],
)
def test_settings_of_the_prior_that_do_not_go_together(overrides: list[str], key: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(PriorConfig, PRIOR_PRESETS, "tiny", overrides=overrides)
    assert str(caught.value).count(key) == 1


def test_the_smallest_model_that_the_ranges_allow_can_be_built_and_run() -> None:
    lowest = [
        number.override(number.limits.low)
        for number in numbers(VQVAEConfig)
        if number.name.startswith("model.") and number.limits is not None
    ]
    config = load_config(VQVAEConfig, PRESETS, overrides=lowest).model
    assert (config.hop, config.decoder_width, config.decoder_blocks) == (16, 1, 0)
    model = VQVAE(config).eval()
    codes = model.encode(torch.zeros(1, 2, 16 * 5))
    assert codes.shape == (1, 4, 4, 1)
    spectrum = model.decode(codes, torch.ones(1, 4))
    assert spectrum.shape == (1, 2, 4, 17)
    assert spectrum.isfinite().all()


def test_a_loss_that_compares_no_sound_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    overrides = [f"loss.{name}=0" for name in ("waveform", "stft", "snr", "magnitude")]
    config = load_config(VQVAEConfig, PRESETS, "tiny", overrides=overrides)
    assert config.loss.usage > 0
    with pytest.raises(UserError, match="every loss term that compares sound is off"):
        train_vqvae(tmp_path / "none", tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_a_dataclass_that_code_builds_is_trusted_except_for_joint_rules() -> None:
    assert TrainSettings(steps=0).steps == 0
    with pytest.raises(UserError, match=r"muon.*set 'train.precision=bf16-mixed'"):
        TrainSettings(optimizer="muon", precision="16-mixed")


@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize(
    "text", ["a." * 100_000 + "b = 1", "a = " + "[" * 50_000, "a = 1\n" * 20_000]
)
def test_an_absurd_file_is_refused_at_once(tmp_path: Path, text: str) -> None:
    file = tmp_path / "absurd.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"absurd\.toml (is too large|nests too deeply)") as caught:
        load_config(Outer, tmp_path, file=file)
    assert len(str(caught.value)) < 300
