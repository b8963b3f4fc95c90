"""The contract between the stages: audio in, integer codes out, and back.

Stage 2 sees a codec only as this protocol, never as a class of stage 1.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import numpy.typing as npt

from shared.config import Range
from shared.errors import UserError, require
from shared.sound.samples import Samples
from shared.sound.sliced import SlicedSamples

Codes = npt.NDArray[np.uint16]


class Codec(Protocol):
    """Turns stereo audio into codes `[sources, codebooks, frames]`, and codes into audio.

    A codec's `fingerprint` names the checkpoint it was loaded from. Codes carry it, because codes
    mean nothing to another codec.
    """

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio that the codec reads and writes."""

    @property
    def hop(self) -> int:
        """Samples per frame of codes."""

    @property
    def frame_rate(self) -> float:
        """Frames per second: `sample_rate / hop`."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in the order of the codes' first axis."""

    @property
    def num_codebooks(self) -> int:
        """Codebooks of one source (H)."""

    @property
    def cardinality(self) -> int:
        """Entries of one codebook (m). A code is an integer from 0 to m - 1."""

    @property
    def fingerprint(self) -> str:
        """Name of the checkpoint that makes these codes."""

    @property
    def audible_bass(self) -> float:
        """The level from which a mixture counts as having a bass, as a share of the mixture's."""

    def num_frames(self, num_samples: int) -> int:
        """Return how many frames `encode` makes of so many samples."""

    def encode(self, audio: SlicedSamples) -> Codes:
        """Turn audio `[2, N]` into codes `[S, H, num_frames(N)]` with one row for each source."""

    def decode(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Samples:
        """Turn codes `[S, H, T]` into audio `[2, num_samples]` of the named sources (None: all).

        The vectors of the sources that are not named are replaced by zeros.
        """

    def decode_blocks(
        self, codes: Codes, num_samples: int, sources: Sequence[str] | None = None
    ) -> Iterator[Samples]:
        """Decode as `decode` does, block after block `[2, n]`, so that memory stays flat."""

    def separate(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Samples:
        """Estimate sources of a mixture by masking it, as `[len(sources), 2, N]`.

        The estimates of all sources sum to the mixture, except where no source is found. Their
        phases are the mixture's, which codes cannot hold.

        Args:
            mixture: `[2, N]`.
            sources: the names of the sources, in the order in which their estimates are returned.
                None returns all of them in the codec's order.
            codes: what `encode` makes of the mixture, if that is already known. A codec that makes
                its masks of codes need not encode again.
        """

    def separate_blocks(
        self,
        mixture: SlicedSamples,
        sources: Sequence[str] | None = None,
        codes: Codes | None = None,
    ) -> Iterator[Samples]:
        """Separate as `separate` does, block after block `[S, 2, n]`, so that memory stays flat."""


@dataclass(frozen=True)
class CodeFormat:
    """The format that all songs of a folder of codes share, and that a prior is trained for.

    Attributes:
        sources: names of the sources, in the order of the codes' first axis.
        codebooks: number of codebooks of one source.
        cardinality: number of entries of one codebook; every code is below it.
        sample_rate: of the audio, in Hz.
        hop: samples per frame of codes.
        fingerprint: names the codec checkpoint that made the codes.

    Raises:
        UserError: there are no sources.
    """

    sources: tuple[str, ...]
    codebooks: Annotated[int, Range(1, 1024)]
    cardinality: Annotated[int, Range(1, 2**16)]  # codes are stored as uint16
    sample_rate: Annotated[int, Range(1, 10**6)]
    hop: Annotated[int, Range(1, 10**6)]
    fingerprint: str

    def __post_init__(self) -> None:
        """Check that there are sources."""
        require(bool(self.sources), "'codes.sources' names no source: it must list at least one")

    @classmethod
    def of(cls, codec: Codec) -> "CodeFormat":
        """Return the format of the codes that `codec` makes."""
        return cls(
            sources=codec.sources,
            codebooks=codec.num_codebooks,
            cardinality=codec.cardinality,
            sample_rate=codec.sample_rate,
            hop=codec.hop,
            fingerprint=codec.fingerprint,
        )

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    def window(self, seconds: float, setting: str) -> int:
        """Return how many frames there are in a window that a network reads at once.

        Args:
            seconds: the length of the window.
            setting: the setting that says it.

        Raises:
            UserError: they are fewer than two, of which none would have a neighbour.
        """
        frames = round(seconds * self.frame_rate)
        require(
            frames >= 2,
            f"'{setting}' is {seconds:g} s, which are fewer than two frames of the codes: set "
            f"{math.ceil(2 / self.frame_rate)} or more",
        )
        return frames


def require_frame(song: Path, seconds: float, codec: Codec) -> None:
    """Check that the song in a file lasts at least one frame of codes.

    Raises:
        UserError: it is shorter.
    """
    if seconds * codec.frame_rate < 1:
        raise UserError(
            f"{song} lasts {1000 * seconds:.0f} ms, less than a frame of "
            f"{1000 / codec.frame_rate:.0f} ms: give a longer song"
        )
