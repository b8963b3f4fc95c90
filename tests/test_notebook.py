"""docs/first_steps.ipynb: it was executed, its outputs are what its cells give, and it is small."""

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.notebook import NOTEBOOK, execute


def cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(notebook: dict[str, Any]) -> list[str]:
    """The texts that the cells print."""
    outputs = [output for cell in cells(notebook) for output in cell["outputs"]]
    return [output["text"] for output in outputs if output["output_type"] == "stream"]


def kinds(notebook: dict[str, Any]) -> list[list[str]]:
    """The kinds of pictures and sounds of each cell."""
    return [
        [kind for output in cell["outputs"] for kind in output.get("data", {})]
        for cell in cells(notebook)
    ]


def test_a_cell_has_what_it_prints_draws_and_ends_with() -> None:
    drawing = "import matplotlib.pyplot as plt\nplt.plot([x])\nplt.show()"
    html = "class Html:\n    def _repr_html_(self):\n        return '<b>'\n\nHtml()"
    sources = ["x = 2\nprint(x)", "x + 1", drawing, html]
    notebook = {"cells": [{"cell_type": "code", "source": [source]} for source in sources]}
    names = execute(notebook)
    assert names["x"] == 2
    assert printed(notebook) == ["2\n"]
    assert kinds(notebook) == [[], [], ["image/png"], ["text/html", "text/plain"]]
    assert [cell["execution_count"] for cell in cells(notebook)] == [1, 2, 3, 4]


@pytest.mark.slow
def test_the_notebook_does_what_it_shows() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    stored = json.loads(text)
    assert all(cell["execution_count"] for cell in cells(stored))
    anew = json.loads(text)
    names = execute(anew)
    assert kinds(anew) == kinds(stored)
    assert sum(each.count("text/html") for each in kinds(stored)) == 5  # sounds
    # The codes may differ by rounding on other machines, so only what is printed first is compared.
    assert printed(anew)[0] == printed(stored)[0]
    assert "other codes are the same: True" in printed(anew)[-1]
    note, rate = names["notes"][2], names["codec"].sample_rate
    middle = slice(round((note.onset + 0.1) * rate), round((note.end - 0.05) * rate))
    before, after = (fundamental(names[name][:, middle], rate) for name in ("before", "after"))
    assert 12 * np.log2(after / before) == pytest.approx(7, abs=0.5)


def fundamental(sound: np.ndarray, rate: int) -> float:
    """The frequency from 30 to 200 Hz whose first five partials are loudest, taken together."""
    size = 2**17
    level = np.abs(np.fft.rfft(sound.mean(0) * np.hanning(sound.shape[1]), size))
    bins = np.arange(round(30 * size / rate), round(200 * size / rate))
    product = sum(np.log(level[partial * bins] + 1e-6 * level.max()) for partial in range(1, 6))
    return float(bins[np.argmax(product)] * rate / size)
