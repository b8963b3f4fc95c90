"""A song as integer codes: the file that `extract-codes` writes and stage 2 reads.

A `.codes.safetensors` file holds one song's `[sources, codebooks, frames]` arrays and a JSON header,
so that anyone can read and edit it with safetensors and numpy alone (docs/codes.md).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from shared.atomic import atomic_path
from shared.codes.codec import Codec
from shared.errors import UserError

FORMAT = "song-codes/1"
SUFFIX = ".codes.safetensors"
VIEWS = ("mixture", "accompaniment", "alone")


@dataclass(frozen=True, eq=False)
class SongCodes:
    """A song's codes, and what is needed to read them.

    views: per view uint16 `[S, H, T]`. "mixture": the whole song encoded. "accompaniment": the
        song without its bass encoded; what a prior may see. "alone": row s is row s of the codes
        of source s encoded by itself; the bass row is a prior's target.
    gain: what the samples were multiplied by before encoding; divide decoded audio by it.
    rms: per source, RMS of its samples before `gain` (full scale 1.0).
    notes, note_confidence: the bass as note tokens (shared/music/notes.py) `[T]`, and how far to trust
        each, 0..1. None where no bass is known.
    song: content of the song's song.json (beats, chords, ...), None where there is none.
    """

    track: str
    split: str
    sources: tuple[str, ...]
    sample_rate: int
    hop: int
    num_samples: int
    fingerprint: str
    gain: float
    rms: dict[str, float]
    views: dict[str, npt.NDArray[np.uint16]]
    notes: npt.NDArray[np.uint8] | None = None
    note_confidence: npt.NDArray[np.float32] | None = None
    song: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where the arrays do not fit each other."""
        if not self.views or not set(self.views) <= set(VIEWS):
            raise ValueError(f"views are {sorted(self.views)}, expected some of {list(VIEWS)}")
        shape = next(iter(self.views.values())).shape
        for name, codes in self.views.items():
            if codes.dtype != np.uint16 or codes.ndim != 3 or codes.shape != shape:
                raise ValueError(
                    f"view '{name}' is {codes.dtype} {list(codes.shape)}, expected uint16 "
                    f"[sources, codebooks, frames] like the other views"
                )
        if shape[0] != len(self.sources):
            raise ValueError(f"codes have {shape[0]} sources, the header names {self.sources}")
        if (self.notes is None) != (self.note_confidence is None):
            raise ValueError("'notes' and 'note_confidence' come together")
        for name, dtype in (("notes", np.uint8), ("note_confidence", np.float32)):
            array = getattr(self, name)
            if array is not None and (array.dtype != dtype or array.shape != shape[2:]):
                raise ValueError(
                    f"'{name}' is {array.dtype} {list(array.shape)}, expected "
                    f"{np.dtype(dtype)} [{shape[2]}], one a frame"
                )

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def num_codebooks(self) -> int:
        """Codebooks of one source."""
        return int(next(iter(self.views.values())).shape[1])

    @property
    def num_frames(self) -> int:
        """Frames of every view."""
        return int(next(iter(self.views.values())).shape[2])

    def view(self, name: str) -> npt.NDArray[np.uint16]:
        """Codes `[S, H, T]` of a view; UserError where this file does not hold it."""
        if name not in self.views:
            raise UserError(
                f"codes of '{self.track}' hold no view '{name}': "
                f"choose one of {', '.join(self.views)}"
            )
        return self.views[name]

    def source_index(self, source: str) -> int:
        """Row of a source; UserError where the codes do not hold it."""
        if source not in self.sources:
            raise UserError(
                f"codes of '{self.track}' hold no source '{source}': "
                f"choose one of {', '.join(self.sources)}"
            )
        return self.sources.index(source)

    def save(self, path: Path) -> None:
        """Writes the file atomically."""
        header = {
            "track": self.track,
            "split": self.split,
            "sources": list(self.sources),
            "sample_rate": self.sample_rate,
            "hop": self.hop,
            "num_samples": self.num_samples,
            "fingerprint": self.fingerprint,
            "gain": self.gain,
            "rms": self.rms,
            "song": self.song,
        }
        arrays: dict[str, np.ndarray] = {f"codes.{name}": v for name, v in self.views.items()}
        if self.notes is not None and self.note_confidence is not None:
            arrays |= {"notes": self.notes, "note_confidence": self.note_confidence}
        # safetensors writes an array's buffer as it lies, so it must lie in order.
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with atomic_path(path) as temporary:
            save_file(arrays, temporary, {"format": FORMAT, "header": json.dumps(header)})

    @classmethod
    def load(cls, path: Path) -> "SongCodes":
        """Reads a codes file; UserError where it is missing, damaged or something else."""
        metadata, arrays = _read_safetensors(path)
        if metadata.get("format") != FORMAT:
            raise UserError(f"{path} is not a codes file ({FORMAT}): make one with extract-codes")
        try:
            header = json.loads(metadata["header"])
            return cls(
                **(header | {"sources": tuple(header["sources"])}),
                views={
                    name.removeprefix("codes."): array
                    for name, array in arrays.items()
                    if name.startswith("codes.")
                },
                notes=arrays.get("notes"),
                note_confidence=arrays.get("note_confidence"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"codes file {path} is damaged ({error}): extract it again") from error


def _read_safetensors(path: Path) -> tuple[Mapping[str, str], dict[str, np.ndarray]]:
    if not path.is_file():
        raise UserError(f"there is no codes file {path}: make it with extract-codes")
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"cannot read {path} as a codes file ({error}): extract it again"
        ) from error


def require_fingerprint(
    codes_fingerprint: str, codec_fingerprint: str, what: str = "these codes"
) -> None:
    """UserError unless codes and codec come from one checkpoint.

    what: names the codes (or the prior trained on them) in the message.
    """
    if codes_fingerprint != codec_fingerprint:
        raise UserError(
            f"{what} were made by the codec checkpoint {codes_fingerprint}, but the codec in use "
            f"is {codec_fingerprint}: load that checkpoint, or extract the codes again"
        )


def require_codec(song: SongCodes, codec: Codec) -> None:
    """UserError unless `codec` made these codes and can decode every one of them."""
    require_fingerprint(song.fingerprint, codec.fingerprint, f"codes of '{song.track}'")
    expected = (len(codec.sources), codec.num_codebooks, codec.num_frames(song.num_samples))
    for name, codes in song.views.items():
        if codes.shape != expected:
            raise UserError(
                f"codes of '{song.track}', view '{name}', have shape {list(codes.shape)}, but "
                f"{song.num_samples} samples make {list(expected)}: undo the edit that changed it"
            )
    require_entries(song, codec.cardinality)


def require_entries(song: SongCodes, cardinality: int) -> None:
    for name, codes in song.views.items():
        if codes.size and codes.max() >= cardinality:
            raise UserError(
                f"codes of '{song.track}', view '{name}', hold {codes.max()}, but a codebook has "
                f"entries 0 to {cardinality - 1}: undo the edit that wrote it"
            )
