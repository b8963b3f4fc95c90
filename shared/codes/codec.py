"""The contract between the stages: audio in, integer codes out, and back.

Stage 2 knows a codec by this protocol only, never by stage 1's classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Codec(Protocol):
    """Turns stereo audio into codes `[sources, codebooks, frames]`, and codes into audio.

    A codec's `fingerprint` names the checkpoint it was loaded from. Codes carry it, because codes
    mean nothing to another codec.
    """

    @property
    def sample_rate(self) -> int:
        """Samples per second of the audio it reads and writes."""

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
        """Entries of one codebook (m); a code lies in `[0, m)`."""

    @property
    def fingerprint(self) -> str:
        """Name of the checkpoint that makes these codes."""

    def num_frames(self, num_samples: int) -> int:
        """Frames that `encode` returns for so many samples."""

    def encode(self, audio: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
        """Audio `[2, N]` at `sample_rate` -> codes `[S, H, num_frames(N)]`, a row per source."""

    def decode(
        self,
        codes: npt.NDArray[np.uint16],
        num_samples: int,
        sources: Sequence[str] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Codes `[S, H, T]` -> audio `[2, num_samples]` of the named sources (None: all).

        The vectors of the sources not named are zeroed.
        """


@dataclass(frozen=True)
class CodeFormat:
    """What all songs of a codes folder have in common: what a prior must know of its codes.

    codebooks: of one source. cardinality: entries of one codebook; a code lies below it.
    fingerprint: of the codec that made the codes.
    """

    sources: tuple[str, ...]
    codebooks: int
    cardinality: int
    sample_rate: int
    hop: int
    fingerprint: str

    @classmethod
    def of(cls, codec: Codec) -> "CodeFormat":
        """The format of the codes that `codec` makes."""
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
