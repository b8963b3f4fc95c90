"""Only versions of x-transformers that the models were tested with are used."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from shared.errors import UserError
from stage2_prior import x_transformers_guard
from stage2_prior.x_transformers_guard import NEWEST, OLDEST, require_tested

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"


@pytest.mark.parametrize("version", [OLDEST, "2.9.2", "2.31.2", NEWEST])
def test_tested_versions_pass(version: str) -> None:
    require_tested(version)


@pytest.mark.parametrize("version", ["1.44.8", "2.1.0", "2.3.27", "2.31.11", "2.32.0", "3.0.0"])
def test_other_versions_are_refused_in_one_sentence(version: str) -> None:
    with pytest.raises(UserError) as caught:
        require_tested(version)
    assert str(caught.value) == (
        f"x-transformers {version} is installed, but only the versions {OLDEST} to {NEWEST} "
        f'are known to work: run pip install "x-transformers=={NEWEST}"'
    )


def test_the_installed_version_is_checked_before_the_models_are_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda package: "2.1.0")
    with pytest.raises(UserError, match=r"x-transformers 2\.1\.0 is installed"):
        importlib.reload(x_transformers_guard)


def test_pyproject_names_the_same_range() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    (requirement,) = (each for each in project["dependencies"] if each.startswith("x-transf"))
    oldest = OLDEST.removesuffix(".0")
    assert requirement == f"x-transformers>={oldest},<={NEWEST}"


def test_the_compiler_is_loaded_only_when_it_is_needed() -> None:
    program = (
        "import sys, torch; from stage2_prior.x_transformers_guard import tell_compiler; "
        "before = 'torch._dynamo' in sys.modules; tell_compiler(); "
        "print(before, 'torch._dynamo' in sys.modules)"
    )
    run = [sys.executable, "-c", program]
    printed = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.split() == ["False", "True"]
