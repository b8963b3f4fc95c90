"""Record how a run was made: `run.json` holds the command, settings, commit and versions.

A run that is continued gets one more entry each time.
"""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from shared.atomic import atomic_path
from shared.config_text import flatten
from shared.errors import UserError
from shared.json_files import write_json
from shared.training.checkpoint import WEIGHTS_NAME

RECORD_NAME = "run.json"
_PACKAGES = ("bassprior", "torch", "numpy", "lightning-fabric", "x-transformers")


def record_start(out: Path, details: Mapping[str, Any]) -> None:
    """Add an entry to the record of a run, which begins or continues now.

    Args:
        out: the folder of the run.
        details: what the entry holds besides the command, the commit and the versions.
    """
    entry = {
        "command": shlex.join(sys.argv),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **details,
        "commit": _commit(),
        "versions": _versions(),
    }
    with atomic_path(out / RECORD_NAME) as temporary:
        write_json(temporary, {"starts": [*read_record(out), entry]})


def read_record(out: Path) -> list[dict[str, Any]]:
    """Read the entries of a run's record; none where there is no record that can be read."""
    try:
        starts = json.loads((out / RECORD_NAME).read_text(encoding="utf-8"))["starts"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []
    return (
        [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []
    )


def settings_of(run: Path) -> dict[str, Any]:
    """Return the settings of a run, and the commit and the versions where they are recorded.

    Args:
        run: the folder of a run, or a checkpoint (.safetensors).

    Returns:
        The values by dotted names. Those of a run that was continued are the last ones.

    Raises:
        UserError: there is no such run or checkpoint, or its settings cannot be read.
    """
    starts = read_record(run)
    if starts:
        last = starts[-1]
        settings = last.get("settings", {})
        if not isinstance(settings, dict):
            raise UserError(f"{run / RECORD_NAME} holds no settings: copy it again")
        known = {name: last[name] for name in ("commit", "versions") if name in last}
        return {**settings, **flatten(known)}
    file = (run / WEIGHTS_NAME if run.is_dir() else run).with_suffix(".json")
    try:
        return flatten({"config": json.loads(file.read_text(encoding="utf-8"))["config"]})
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(
            f"there are no settings of a run at {run}: give the folder of a run, or a checkpoint"
        ) from error


@cache
def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # the project itself, run from its folder
            found[name] = None
    return found


@cache  # of the code that is loaded; the files may change while it runs
def _commit() -> str | None:
    """Name the commit of this code, with "+" where files were changed since; None without git."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=here.parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # else it is the repository of something else
        changed = git("status", "--porcelain", "--untracked-files=no", ":/")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
