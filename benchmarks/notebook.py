"""Execute the notebook docs/first_steps.ipynb, and store what its cells print, draw and play in it.

    python -m benchmarks.notebook [docs/first_steps.ipynb]

Jupyter is not needed for this. A cell has the outputs that Jupyter gives it: what it prints, its
last value as HTML where it has that, and the pictures that it draws with pyplot.
"""

import ast
import base64
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib as mpl

NOTEBOOK = Path(__file__).parents[1] / "docs" / "first_steps.ipynb"
PICTURE_DPI = 60

Cell = dict[str, Any]


def main() -> None:
    """Execute a notebook, and replace its outputs."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else NOTEBOOK
    notebook = json.loads(path.read_text(encoding="utf-8"))
    execute(notebook)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


def execute(notebook: dict[str, Any]) -> dict[str, Any]:
    """Run the code cells one after another, and put their outputs into them.

    Returns:
        The names that the cells leave.
    """
    mpl.use("Agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        cell["execution_count"] = number
        cell["outputs"] = _run("".join(cell["source"]), names, number)
    return names


def _run(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    import matplotlib.pyplot as plt

    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, f"<cell {number}>", "exec"), names)
        if isinstance(last, ast.Expr):
            code = compile(ast.Expression(last.value), f"<cell {number}>", "eval")
            value = eval(code, names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue()})
    for figure in map(plt.figure, plt.get_fignums()):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=PICTURE_DPI)
        plt.close(figure)
        data = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    if value is not None and hasattr(value, "_repr_html_"):
        data = {"text/html": value._repr_html_(), "text/plain": type(value).__name__}
        outputs.append(
            {
                "output_type": "execute_result",
                "execution_count": number,
                "data": data,
                "metadata": {},
            }
        )
    return outputs


if __name__ == "__main__":
    main()
