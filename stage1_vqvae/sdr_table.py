"""Tables of SDR by source, beside the figures that Kim et al. (2021) published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from shared.metrics import median_sdr
from shared.sources import SOURCES


@dataclass(frozen=True)
class SdrRow:
    """SDR in dB by source; nan for a source that no song holds."""

    name: str
    sdr: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The mean over the sources that were scored."""
        return fmean([value for value in self.sdr.values() if value == value] or [float("nan")])

    @classmethod
    def of(cls, name: str, scores: Sequence[np.ndarray]) -> "SdrRow":
        """Take the median of the SDR windows of each song `[sources, windows]`, then over songs."""
        return cls(name, dict(zip(SOURCES, median_sdr(song_sdr(scores)).tolist(), strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """Return the row as an entry of a JSON report."""
        return {"name": self.name, **self.sdr, "mean": self.mean}


def song_sdr(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Take the median of the SDR windows of each song, `[sources, windows]`, to `[sources, songs]`.

    It is nan where a song does not hold a source.
    """
    return np.stack([median_sdr(windows) for windows in scores], axis=-1)


def _row(name: str, vocals: float, bass: float, drums: float, other: float) -> SdrRow:
    return SdrRow(name, dict(zip(SOURCES, (vocals, bass, drums, other), strict=True)))


# Table 1 of the paper: SDR by museval on the MUSDB18 test set.
PAPER = (
    _row("paper: full", 1.270, 1.761, 1.403, 0.812),
    _row("paper: without STFT", 1.546, 1.026, 1.480, 1.069),
    _row("paper: without complement", 0.996, -0.031, 1.458, 0.576),
)


def sdr_table(rows: Sequence[SdrRow]) -> str:
    """Write the rows as a Markdown table, in dB."""
    lines = [f"| SDR, dB | {' | '.join(SOURCES)} | mean |", "|---|" + "---:|" * (len(SOURCES) + 1)]
    for row in rows:
        figures = [*(row.sdr[source] for source in SOURCES), row.mean]
        lines.append(f"| {row.name} | {' | '.join(map(decibels, figures))} |")
    return "\n".join(lines)


def decibels(value: float) -> str:
    """Write a figure with two decimals, and nan as a dash."""
    return "-" if value != value else f"{value:.2f}"
