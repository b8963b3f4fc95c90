"""SIR, SAR and ISR by museval, the reference implementation of BSSEval v4.

museval is an optional package, and slow.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

from shared.errors import UserError


def load_museval() -> ModuleType:
    """Load museval's module of metrics.

    The module is loaded by itself, because importing the package needs the ffmpeg program.

    Raises:
        UserError: museval is not installed.
    """
    package = importlib.util.find_spec("museval")
    if package is None or not package.submodule_search_locations:
        raise UserError("the Python package museval is not installed; run: pip install museval")
    file = Path(package.submodule_search_locations[0]) / "metrics.py"
    spec = importlib.util.spec_from_file_location("museval_metrics", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bss_eval(
    museval: ModuleType, references: np.ndarray, estimates: np.ndarray, sample_rate: int
) -> dict[str, np.ndarray]:
    """Compute SIR, SAR and ISR in windows of 1 s.

    Args:
        museval: the module that `load_museval` returned.
        references: the true sources `[sources, 2, N]`.
        estimates: `[sources, 2, N]`.
        sample_rate: of both.

    Returns:
        By name `[sources, windows]`; nan for sources that are silent throughout.
    """
    sounding = np.abs(references).max((1, 2)) > 0
    figures = museval.bss_eval(
        references[sounding].swapaxes(1, 2).astype(np.float64),
        estimates[sounding].swapaxes(1, 2).astype(np.float64),
        window=sample_rate,
        hop=sample_rate,
    )
    named: dict[str, np.ndarray] = {}
    for kind, windows in zip(("ISR", "SIR", "SAR"), figures[1:4], strict=True):
        named[kind] = np.full((len(references), windows.shape[1]), np.nan)
        named[kind][sounding] = windows
    return named
