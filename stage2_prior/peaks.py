"""Keep the files of a song within full scale, and say what was done for it.

The bass, the backing and the mix get the same gain, so that they stay a sum: mix = backing + bass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from shared.errors import require
from shared.sound.decibels import decibels
from shared.sound.limiter import CEILING_DB, limiting_gain
from shared.sound.samples import Samples
from shared.sound.sliced import Derived, SlicedSamples, blocks_of, settled

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

    parts: dict[str, SlicedSamples]
    report: PeakReport


def tame_peaks(
    parts: Mapping[str, SlicedSamples],
    sample_rate: int,
    handling: PeakHandling,
    folder: Path | None = None,
) -> TamedParts:
    """Bring sounds `[C, N]` of one length within full scale, all by the same gain.

    Where nothing is beyond it, the samples stay exactly as they are. The limiter also works where
    only the true peak is too high, between the samples.

    `folder` is where the gain of the limiter is kept for long sounds (`StoredSamples`).

    Raises:
        UserError: there is no such handling.
    """
    known = get_args(PeakHandling)
    require(handling in known, f"there is no '{handling}' of peaks: give {', '.join(known)}")
    if handling == "limit":
        limiting = limiting_gain([*parts.values()], sample_rate, folder=folder)
        if limiting.smallest == 1:
            return TamedParts(dict(parts), PeakReport(handling))
        limited = {
            name: _computed(np.multiply, samples, limiting.gain) for name, samples in parts.items()
        }
        deepest = -decibels(limiting.smallest)
        report = PeakReport(handling, deepest_db=deepest, limited_share=limiting.share)
        return TamedParts(limited, report)
    if handling == "rescale":
        peak = max(
            float(np.abs(block).max(initial=0.0))
            for samples in parts.values()
            for block in blocks_of(samples)
        )
        if peak <= 1:
            return TamedParts(dict(parts), PeakReport(handling))
        scale = 1 / peak
        factor = np.float32(scale)
        scaled = {
            name: _computed(lambda block: block * factor, samples)
            for name, samples in parts.items()
        }
        return TamedParts(scaled, PeakReport(handling, scale))
    beyond = sum(
        int((np.abs(block) > 1).sum()) for samples in parts.values() for block in blocks_of(samples)
    )
    return TamedParts(dict(parts), PeakReport(handling, beyond=beyond))


def _computed(
    compute: Callable[..., Samples], samples: SlicedSamples, *others: SlicedSamples
) -> SlicedSamples:
    return settled(Derived(compute, samples, *others, channels=samples.shape[0]))
