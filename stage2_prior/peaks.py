"""Keep the files of a song within full scale, and say what was done for it.

The bass, the backing and the mix get the same gain, so that they stay a sum: mix = backing + bass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from shared.errors import require
from shared.sound.decibels import decibels
from shared.sound.limiter import CEILING_DB, limiting_gain
from shared.sound.samples import Samples

PeakHandling = Literal["rescale", "limit", "keep"]


@dataclass(frozen=True)
class PeakReport:
    """What was done about peaks.

    Attributes:
        handling: "rescale" makes all files softer, "limit" makes only their peaks softer, and
            "keep" changes nothing.
        scale: what all samples were multiplied by; 1 unless "rescale" was needed.
        deepest_db: by how many dB the limiter made the highest peak softer; 0 where it did not.
        limited_share: the share of the time in which it did.
        beyond: the number of samples beyond full scale in what is written.
    """

    handling: PeakHandling
    scale: float = 1.0
    deepest_db: float = 0.0
    limited_share: float = 0.0
    beyond: int = 0

    def sentence(self, is_float: bool) -> str:
        """Say it in words. `is_float` says whether the files can hold what is beyond full scale."""
        if self.scale < 1:
            change = -decibels(self.scale)
            return f"all files are {change:.1f} dB softer than the song, so that none clips"
        if self.deepest_db > 0:
            return (
                f"limited to {CEILING_DB:g} dB true peak: by up to {self.deepest_db:.1f} dB, in "
                f"{max(self.limited_share, 0.001):.1%} of the time"
            )
        if self.beyond:
            what = "kept beyond full scale" if is_float else "clipped"
            return f"{self.beyond} samples are {what}"
        return "none beyond full scale; nothing is made softer"


@dataclass(frozen=True, eq=False)
class TamedParts:
    """Sounds as they are written, and what was done for it.

    Attributes:
        parts: the sounds by name.
        report: what was done.
    """

    parts: dict[str, Samples]
    report: PeakReport


def tame_peaks(
    parts: Mapping[str, Samples], sample_rate: int, handling: PeakHandling
) -> TamedParts:
    """Bring sounds `[C, N]` of one length within full scale, all by the same gain.

    Where nothing is beyond it, the samples stay exactly as they are. The limiter also works where
    only the true peak is too high, between the samples.

    Raises:
        UserError: there is no such handling.
    """
    known = get_args(PeakHandling)
    require(handling in known, f"there is no '{handling}' of peaks: give {', '.join(known)}")
    if handling == "limit":
        gain = limiting_gain(list(parts.values()), sample_rate)
        if gain.min(initial=1.0) == 1:
            return TamedParts(dict(parts), PeakReport(handling))
        limited = {name: samples * gain for name, samples in parts.items()}
        deepest, share = -decibels(float(gain.min())), float(np.mean(gain < 1))
        return TamedParts(limited, PeakReport(handling, deepest_db=deepest, limited_share=share))
    if handling == "rescale":
        peak = max(float(np.abs(samples).max(initial=0.0)) for samples in parts.values())
        if peak <= 1:
            return TamedParts(dict(parts), PeakReport(handling))
        scale = 1 / peak
        scaled = {name: samples * np.float32(scale) for name, samples in parts.items()}
        return TamedParts(scaled, PeakReport(handling, scale))
    beyond = sum(int((np.abs(samples) > 1).sum()) for samples in parts.values())
    return TamedParts(dict(parts), PeakReport(handling, beyond=beyond))
