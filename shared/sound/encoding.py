"""The form in which sound is written: WAV or FLAC, and the bits of a sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from shared.errors import require
from shared.sound.files import write_flac, write_wav
from shared.sound.sliced import SlicedSamples

Container = Literal["wav", "flac"]
Bits = Literal["16", "24", "32f"]

_SUBTYPES: dict[Bits, str] = {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}
_BYTES: dict[Bits, int] = {"16": 2, "24": 3, "32f": 4}


@dataclass(frozen=True)
class Encoding:
    """How sound is written.

    Attributes:
        container: the format of the file.
        bits: the bits of a sample; "32f" are floating-point numbers, which may exceed full scale.

    Raises:
        UserError: there is no such format, or it cannot hold such samples.
    """

    container: Container = "wav"
    bits: Bits = "24"

    def __post_init__(self) -> None:
        """Check that the two go together."""
        for value, known in ((self.container, Container), (self.bits, Bits)):
            names = ", ".join(get_args(known))
            require(value in get_args(known), f"there is no '{value}' here: give one of {names}")
        require(
            not (self.container == "flac" and self.is_float),
            "FLAC cannot hold 32-bit floating-point samples: give --bits 24, or --format wav",
        )

    @classmethod
    def for_song(cls, container: Container, bits: Bits | None, wide: bool) -> "Encoding":
        """Choose the bits where none are given: 24, or those of a song that has more.

        Args:
            container: the format of the file.
            bits: the bits that the user wants; None where he says nothing.
            wide: whether the song has samples that 24 bits do not hold (Audio.wide). FLAC cannot
                hold them either.
        """
        return cls(container, bits or ("32f" if wide and container == "wav" else "24"))

    @property
    def is_float(self) -> bool:
        """Whether samples may exceed full scale."""
        return self.bits == "32f"

    def least_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the bytes that a file of samples `[channels, samples]` takes at least.

        A FLAC file of silence takes hardly any.
        """
        return 0 if self.container == "flac" else shape[0] * shape[1] * _BYTES[self.bits]

    def __str__(self) -> str:
        """Return how a person would call it."""
        bits = "32-bit float" if self.is_float else f"{self.bits}-bit"
        return f"{bits} {self.container.upper()}"

    def write(self, path: Path, samples: SlicedSamples, sample_rate: int) -> None:
        """Write float samples `[channels, samples]`, rounded to the nearest value.

        Raises:
            UserError: the file cannot be written, or the disk is full.
        """
        write = write_wav if self.container == "wav" else write_flac
        write(path, samples, sample_rate, _SUBTYPES[self.bits])
