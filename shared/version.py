"""The versions of the project and of what its results depend on."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def project_version() -> str:
    """Return the version of the project, also where it is not installed but run from its folder."""
    manifest = Path(__file__).parents[1] / "pyproject.toml"
    if manifest.is_file():
        return str(tomllib.loads(manifest.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return version("bassprior")
    except PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    """Return the versions of the packages on which the bytes of a result depend, by name."""
    return {"bassprior": project_version()} | {
        name: version(name) for name in ("torch", "torchaudio", "numpy", "scipy", "x-transformers")
    }
