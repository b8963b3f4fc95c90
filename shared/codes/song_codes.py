"""A song as integer codes: the file that `extract-codes` writes and stage 2 reads.

A `.codes.safetensors` file holds the `[sources, codebooks, frames]` arrays of one song and a JSON
header. Anyone can read and edit it with safetensors and numpy alone (docs/codes.md), so everything
in it is checked when it is read.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from shared.atomic import atomic_path
from shared.codes.codec import Codec
from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.music.song_facts import SongFacts

FORMAT = "song-codes/1"
SUFFIX = ".codes.safetensors"
VIEWS = ("mixture", "accompaniment", "without_bass", "alone")


@dataclass(frozen=True, eq=False)
class SongCodes:
    """A song's codes, and what is needed to read them.

    Attributes:
        track: name of the song.
        split: `train`, `valid` or `test`.
        sources: names of the codes' rows.
        sample_rate: of the audio, in Hz.
        hop: samples per frame; frame t is at `t * hop / sample_rate` seconds.
        num_samples: exact length of the audio.
        fingerprint: names the codec checkpoint that made the codes.
        gain: what the samples were multiplied by before they were encoded; decoded audio is divided
            by it.
        rms: RMS of each source's samples before `gain`, full scale 1.0.
        views: uint16 `[S, H, T]` for each view. "mixture" is the whole song encoded.
            "accompaniment" is the song without its bass encoded, which is what a prior may see.
            "without_bass" is the mixture out of which the codec took the bass, as it does for a
            song whose stems nobody has.
            Row s of "alone" is row s of the codes of source s encoded by itself; its bass row is a
            prior's target.
        notes: the bass as note tokens `[T]` (shared/music/notes.py); None where it is not known.
        note_confidence: how far to trust each note token, from 0 to 1; None without notes.
        song: content of the song's `song.json` (beats, chords, ...); None where there is none.

    Raises:
        ValueError: a value has the wrong type or is out of range, or the arrays do not fit.
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
        """Check the values and the arrays."""
        self._check_values()
        self._check_views()
        self._check_notes()

    def _check_values(self) -> None:
        for name in ("track", "split", "fingerprint"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"'{name}' is {getattr(self, name)!r}, expected a text")
        for name in ("sample_rate", "hop", "num_samples"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"'{name}' is {value!r}, expected a whole number above 0")
        if not all(isinstance(name, str) for name in self.sources) or len(set(self.sources)) < len(
            self.sources
        ):
            raise ValueError(f"'sources' are {list(self.sources)}, expected different names")
        if not _is_number(self.gain) or self.gain == 0:
            raise ValueError(f"'gain' is {self.gain!r}, expected a finite number above 0")
        if (
            not isinstance(self.rms, Mapping)
            or set(self.rms) != set(self.sources)
            or not all(map(_is_number, self.rms.values()))
        ):
            raise ValueError(f"'rms' is {self.rms!r}, expected a level of 0 or more per source")

    def _check_views(self) -> None:
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
        if 0 in shape:
            raise ValueError(f"codes are {list(shape)}, expected no axis of length 0")

    def _check_notes(self) -> None:
        if (self.notes is None) != (self.note_confidence is None):
            raise ValueError("'notes' and 'note_confidence' come together")
        if self.notes is None or self.note_confidence is None:
            return
        for name, array, dtype in (
            ("notes", self.notes, np.uint8),
            ("note_confidence", self.note_confidence, np.float32),
        ):
            if array.dtype != dtype or array.shape != (self.num_frames,):
                raise ValueError(
                    f"'{name}' is {array.dtype} {list(array.shape)}, expected "
                    f"{np.dtype(dtype)} [{self.num_frames}], one for each frame"
                )
        if self.notes.max() >= NoteVocabulary.size:
            raise ValueError(
                f"'notes' hold {self.notes.max()}, expected tokens below {NoteVocabulary.size}"
            )
        # A comparison with nan is false.
        if not ((self.note_confidence >= 0) & (self.note_confidence <= 1)).all():
            raise ValueError("'note_confidence' holds values outside 0 to 1")

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def facts(self) -> SongFacts:
        """What is known of the song; UserError where its `song` is not as it must be."""
        return SongFacts.from_dict(self.song or {}, f"the codes of '{self.track}'")

    @property
    def duration(self) -> float:
        """Length of the audio in seconds. The last frame may be up to a frame later."""
        return self.num_samples / self.sample_rate

    @property
    def num_codebooks(self) -> int:
        """Codebooks of one source."""
        return int(next(iter(self.views.values())).shape[1])

    @property
    def num_frames(self) -> int:
        """Frames of every view."""
        return int(next(iter(self.views.values())).shape[2])

    def view(self, name: str) -> npt.NDArray[np.uint16]:
        """Return the codes `[S, H, T]` of a view.

        Raises:
            UserError: the file does not hold this view.
        """
        if name not in self.views:
            raise UserError(
                f"codes of '{self.track}' hold no view '{name}': "
                f"choose one of {', '.join(self.views)}"
            )
        return self.views[name]

    def source_index(self, source: str) -> int:
        """Return the row of a source.

        Raises:
            UserError: the codes do not hold this source.
        """
        if source not in self.sources:
            raise UserError(
                f"codes of '{self.track}' hold no source '{source}': "
                f"choose one of {', '.join(self.sources)}"
            )
        return self.sources.index(source)

    def save(self, path: Path) -> None:
        """Write the file, which appears whole or not at all. Equal songs give equal bytes."""
        header = {
            "format": FORMAT,
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
        # safetensors writes the bytes of an array in the order in which memory holds them.
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with atomic_path(path) as temporary:
            # One text only: safetensors writes several in an order that changes at random.
            # save_file would write a temporary file of its own, which stays where it is killed.
            temporary.write_bytes(save(arrays, {"header": json.dumps(header)}))

    @classmethod
    def load(cls, path: Path) -> "SongCodes":
        """Read a codes file.

        Raises:
            UserError: the file is missing, damaged or something else.
        """
        metadata, arrays = _read_safetensors(path)
        try:
            header = json.loads(metadata.get("header", "{}"))
            # The first files have the format beside the header and not in it.
            if metadata.get("format", header.pop("format", None)) != FORMAT:
                raise _NotCodesError
            if header.get("song") is not None:
                SongFacts.from_dict(header["song"], "its song facts")  # only to check them
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
        except _NotCodesError:
            raise UserError(
                f"{path} is not a codes file ({FORMAT}): make one with extract-codes"
            ) from None
        except KeyError as error:
            raise UserError(
                f"codes file {path} is damaged (it has no {error}): extract it again"
            ) from error
        except (AttributeError, RecursionError, TypeError, ValueError, UserError) as error:
            raise UserError(f"codes file {path} is damaged ({error}): extract it again") from error


class _NotCodesError(Exception):
    """A safetensors file holds something else."""


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
    """Check that codes and codec come from one checkpoint.

    `what` names the codes, or the prior that was trained on them, in the message.

    Raises:
        UserError: they come from two.
    """
    if codes_fingerprint != codec_fingerprint:
        raise UserError(
            f"{what} were made by the codec checkpoint {codes_fingerprint}, but the codec in use "
            f"is {codec_fingerprint}: load that checkpoint, or extract the codes again"
        )


def require_codec(song: SongCodes, codec: Codec) -> None:
    """Check that `codec` made these codes and can decode every one of them.

    Raises:
        UserError: another codec made them, or an edit gave them a shape, a sample rate or values
            that the codec does not have.
    """
    require_fingerprint(song.fingerprint, codec.fingerprint, f"codes of '{song.track}'")
    if (song.sample_rate, song.hop) != (codec.sample_rate, codec.hop):
        raise UserError(
            f"codes of '{song.track}' have {song.hop} samples per frame at {song.sample_rate} Hz, "
            f"but their codec has {codec.hop} at {codec.sample_rate} Hz: undo the edit that "
            "changed it"
        )
    expected = (len(codec.sources), codec.num_codebooks, codec.num_frames(song.num_samples))
    for name, codes in song.views.items():
        if codes.shape != expected:
            raise UserError(
                f"codes of '{song.track}', view '{name}', have shape {list(codes.shape)}, but "
                f"{song.num_samples} samples make {list(expected)}: undo the edit that changed it"
            )
    require_cardinality(song, codec.cardinality)


def require_cardinality(song: SongCodes, cardinality: int) -> None:
    """Check that every code is an entry of a codebook of `cardinality` entries.

    Raises:
        UserError: a code is not.
    """
    for name, codes in song.views.items():
        if codes.max() >= cardinality:
            raise UserError(
                f"codes of '{song.track}', view '{name}', hold {codes.max()}, but a codebook has "
                f"entries 0 to {cardinality - 1}: undo the edit that wrote it"
            )


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number of at least 0."""
    return type(value) in (int, float) and math.isfinite(value) and value >= 0
