"""The wheel's content, the versions it needs, and which part may import which."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PACKAGES = ("shared", "stage1_vqvae", "stage2_prior")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
DATA_SUFFIXES = (".toml", ".json", ".safetensors", ".html", ".css", ".js", ".svg")


def test_the_wheel_holds_all_modules_presets_and_weights(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(ZipFile(wheel).namelist())
    data = [p for package in PACKAGES for p in (ROOT / package).rglob("*") if is_data(p)]
    expected = {path.relative_to(ROOT).as_posix() for path in [*MODULES, *data]} | {"cli.py"}
    packed = {name for name in names if ".dist-info/" not in name}
    assert expected <= packed
    assert {Path(name).parts[0] for name in packed} == {"cli.py", *PACKAGES}
    assert "stage1_vqvae/presets/compact.toml" in packed
    assert "stage2_prior/presets/compact.toml" in packed


def test_the_lock_has_a_tested_version_of_every_requirement() -> None:
    locked = versions_in("constraints.txt")
    for requirement in requirements():
        assert locked[requirement.name] in requirement.specifier, requirement
    assert locked["torch"] == Version("2.13.0")


def test_the_lowest_versions_are_those_that_the_project_promises() -> None:
    lowest = versions_in(".ci/lowest.txt")
    for requirement in requirements():
        (promised,) = (s.version for s in requirement.specifier if s.operator in (">=", "=="))
        assert lowest[requirement.name] == Version(promised), requirement


def requirements() -> list[Requirement]:
    """What the project, its page and its development need, each with its name in normal form."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *extras["studio"], *extras["dev"]]
    found = [Requirement(text) for text in texts]
    for requirement in found:
        requirement.name = canonicalize_name(requirement.name)
    return found


def versions_in(constraints: str) -> dict[str, Version]:
    """Read `NAME==VERSION` lines."""
    lines = (ROOT / constraints).read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def is_data(path: Path) -> bool:
    return path.suffix in DATA_SUFFIXES and not path.name.startswith(".")


def test_no_module_needs_the_dev_extras_to_be_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {text.split(">=")[0] for text in project["optional-dependencies"]["dev"]}
    for path in [ROOT / "cli.py", *MODULES]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not imports(tree.body) & extras, path


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("shared", {"cli", "stage1_vqvae", "stage2_prior"}),
        ("stage1_vqvae", {"cli", "stage2_prior"}),
        ("stage2_prior", {"cli", "stage1_vqvae"}),
    ],
)
def test_data_flows_one_way(package: str, forbidden: set[str]) -> None:
    for path in (ROOT / package).rglob("*.py"):
        found = {name for name in imports_anywhere(path) if name.split(".")[0] in forbidden}
        assert not found, f"{path} imports {found}"


def test_the_architecture_names_every_module() -> None:
    """The modules of the synthetic band have a page of their own."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    for path in MODULES:
        names = path.relative_to(ROOT).parts[1:]
        if path.name != "__init__.py" and names[0] != "band":
            assert f"`{'/'.join(names)}`" in page, path


def test_torchaudio_is_imported_by_its_guard_only() -> None:
    for path in MODULES:
        if path.name != "torchaudio_guard.py":
            assert "torchaudio" not in imports_anywhere(path), path


def test_librosa_is_imported_by_its_guard_only() -> None:
    for path in MODULES:
        if path.name != "librosa_guard.py":
            found = {name.partition(".")[0] for name in imports_anywhere(path)}
            assert "librosa" not in found, path


def imports(nodes: Iterable[ast.AST]) -> set[str]:
    """The absolute modules that these nodes themselves import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


def imports_anywhere(path: Path) -> set[str]:
    """The modules that a whole file imports, those within functions included."""
    return imports(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def test_the_top_level_stays_as_it_is() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    top = {Path(line).parts[0] for line in tracked.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == {
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "benchmarks",
        "cli.py",
        "constraints.txt",
        "docs",
        "pyproject.toml",
        "shared",
        "stage1_vqvae",
        "stage2_prior",
        "tests",
    }
