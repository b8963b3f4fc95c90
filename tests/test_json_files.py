"""What JSON lacks is converted, at any depth."""

import json
import math
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from shared.json_files import jsonable, write_json


class Colour(Enum):
    RED = "red"


def test_what_json_lacks_is_converted() -> None:
    content = {
        1: (math.nan, [math.inf, {"a": -math.inf}]),
        "numpy": [np.float32(0.5), np.float64(np.nan), np.int64(3), np.bool_(True)],
        "path": Path("a/b"),
        "colour": Colour.RED,
        "plain": [1, 0.1, True, None, "nan"],
    }
    assert jsonable(content) == {
        "1": [None, [None, {"a": None}]],
        "numpy": [0.5, None, 3, True],
        "path": "a/b",
        "colour": "red",
        "plain": [1, 0.1, True, None, "nan"],
    }


def test_the_file_reads_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": (1, math.nan), "c": "é"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": [1, None], "c": "é"}
    assert text.startswith('{\n  "b": [')
    assert text.endswith("}\n")


def test_what_cannot_be_converted_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert not (tmp_path / "a.json").exists()
