"""The manifest of a folder of codes: which files belong to it, and the format that they share."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import overload

from shared.atomic import atomic_path
from shared.codes.codec import CodeFormat
from shared.codes.song_codes import SongCodes, require_cardinality
from shared.config import config_from_dict
from shared.errors import UserError, require

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """The format that the songs of a folder share, and their files.

    Other files in the folder are ignored.
    """

    format: CodeFormat
    files: "CodeFiles"


@dataclass(frozen=True)
class CodeFiles(Sequence[Path]):
    """The files of a folder of codes, as paths `folder/SPLIT/NAME.codes.safetensors`.

    A path is made when it is asked for, because a million of them take seconds and gigabytes.

    Attributes:
        folder: the folder.
        names: the paths of the files in it, with "/" as separator.
    """

    folder: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Count the files."""
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> "CodeFiles": ...
    def __getitem__(self, index: int | slice) -> "Path | CodeFiles":
        """Return a file, or some of them."""
        if isinstance(index, slice):
            return CodeFiles(self.folder, self.names[index])
        return self.folder / self.names[index]

    def of_split(self, split: str) -> "CodeFiles":
        """Return the files of one split."""
        start, within = f"{split}/", f"/{split}/"
        kept = [name for name in self.names if name.startswith(start) or within in name]
        # A folder further up may have the name of a split, too.
        return CodeFiles(self.folder, tuple(name for name in kept if _folder(name) == split))


def _folder(name: str) -> str:
    return name.rsplit("/", 2)[-2]


def write_manifest(folder: Path, format: CodeFormat, files: Sequence[Path]) -> Path:
    """Write the manifest of the codes files `files` under `folder`, and return its path."""
    names = sorted(file.relative_to(folder).as_posix() for file in files)
    path = folder / MANIFEST
    with atomic_path(path) as temporary:
        text = json.dumps({**asdict(format), "files": names}, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def _leaves_folder(name: PurePosixPath) -> bool:
    return name.is_absolute() or ".." in name.parts or not name.parts


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a codes folder.

    Raises:
        UserError: the manifest is missing or damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"there is no {path}: make a folder of codes with extract-codes")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = content.pop("files")
        require(all(isinstance(name, str) for name in names), "a name in it is no text")
        suspects = [name for name in names if not name or name[0] in "/." or ".." in name]
        outside = [name for name in suspects if _leaves_folder(PurePosixPath(name))]
        require(not outside, f"it names {outside[:1]}, which is outside its folder")
        files = CodeFiles(folder, tuple(names))
        return Manifest(config_from_dict(CodeFormat, content), files)
    except (
        *(AttributeError, LookupError, OSError, RecursionError),
        *(TypeError, ValueError, UserError),
    ) as error:
        raise UserError(
            f"{path} is damaged ({error}): remove it and run extract-codes again"
        ) from error


def require_format(song: SongCodes, format: CodeFormat) -> None:
    """Check that a song's codes have the format that the manifest of their folder states.

    Raises:
        UserError: they have another.
    """
    own = CodeFormat(
        sources=song.sources,
        codebooks=song.num_codebooks,
        cardinality=format.cardinality,  # The file of a song does not state it.
        sample_rate=song.sample_rate,
        hop=song.hop,
        fingerprint=song.fingerprint,
    )
    different = [f.name for f in fields(own) if getattr(own, f.name) != getattr(format, f.name)]
    if different:
        raise UserError(
            f"codes of '{song.track}' differ from their folder's {MANIFEST} in "
            f"{', '.join(different)}: run extract-codes again"
        )
    require_cardinality(song, format.cardinality)
