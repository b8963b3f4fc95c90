"""Write JSON files for people and programs to read."""

import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `jsonable(content)` as indented JSON."""
    text = json.dumps(jsonable(content), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def jsonable(value: Any) -> Any:
    """Turn `value` into what JSON can hold.

    Nan and infinities, which JSON lacks, become None; numpy's numbers become Python's; tuples
    become lists; members of enumerations become their values; keys and paths become strings. This
    holds at any depth.
    """
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, Enum):
        return jsonable(value.value)
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
