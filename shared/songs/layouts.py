"""Find the stems of one song in its folder, in any of the layouts that are read.

- four stems: one file for each source, named after it or as `stems.toml` in the data folder says;
- MoisesDB: `data.json` and `STEM/TRACK_ID.wav`;
- Slakh2100: `metadata.yaml` and `stems/S00.flac`.

The last two have many tracks for each song, which are summed to the four sources.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.atomic import atomic_path
from shared.errors import UserError, require
from shared.sources import SOURCES

STEM_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a")
NAMES_FILE = "stems.toml"
OTHER = "other"

Names = Mapping[str, tuple[str, ...]]  # of the files of a source, with or without their suffix


@dataclass(frozen=True)
class SongStems:
    """The files of a song.

    Attributes:
        files: the files of each source that has some, in the order of SOURCES; they are summed.
        multitrack: whether the song is of a data set with many tracks for each song. Sources
            without a file are then silent, and tracks end when they have nothing more to play.
    """

    files: Mapping[str, tuple[Path, ...]]
    multitrack: bool = False

    @property
    def missing(self) -> list[str]:
        """The sources that the song should have, but has not."""
        return [] if self.multitrack else [each for each in SOURCES if each not in self.files]


def find_stems(folder: Path, names: Names) -> SongStems | None:
    """Find the stems in a folder; None where it is no song.

    Args:
        folder: the folder.
        names: what the files of a source are called, where they are not named after it.

    Raises:
        UserError: the description of a song of MoisesDB or Slakh2100 cannot be read.
    """
    if not folder.is_dir():
        return None
    return _named_stems(folder, names) or _moisesdb_stems(folder) or _slakh_stems(folder)


def _named_stems(folder: Path, names: Names) -> SongStems | None:
    by_name = {path.name.lower(): path for path in folder.iterdir() if path.is_file()}
    found = {}
    for source in SOURCES:
        named = [_find(by_name, name) for name in names.get(source, ())]
        files = tuple(filter(None, named)) or tuple(filter(None, [_find(by_name, source)]))
        if files:
            found[source] = files
    return SongStems(found) if found else None


def parse_names(texts: Sequence[str]) -> Names:
    """Read several "SOURCE=FILE"; those of one source are summed.

    Raises:
        UserError: a text has another form, or names no source.
    """
    names: dict[str, tuple[str, ...]] = {}
    for text in texts:
        source, separator, file = text.partition("=")
        require(
            bool(separator and file) and source in SOURCES,
            f"--map '{text}' is not SOURCE=FILE with a source of {', '.join(SOURCES)}: write it as "
            "bass=BASS_DI.wav",
        )
        names[source] = (*names.get(source, ()), file)
    return names


def write_names(data: Path, names: Names) -> None:
    """Note in a data folder what the files of its songs are called."""
    lines = [f"{source} = {json.dumps(list(files))}\n" for source, files in names.items()]
    with atomic_path(data / NAMES_FILE) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def read_names(data: Path) -> Names:
    """Read what the files of the songs in a data folder are called, where that is noted.

    Raises:
        UserError: the note cannot be read.
    """
    path = data / NAMES_FILE
    if not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        names = {source: _texts(files) for source, files in content.items()}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f'{path} cannot be read ({error}): it has lines such as bass = ["BASS_DI.wav"]'
        ) from error
    unknown = [source for source in names if source not in SOURCES]
    require(
        not unknown, f"{path} names {', '.join(unknown)}, but the sources are {', '.join(SOURCES)}"
    )
    return names


def _texts(files: Any) -> tuple[str, ...]:
    texts = (files,) if isinstance(files, str) else files
    if not isinstance(texts, list | tuple) or not all(isinstance(each, str) for each in texts):
        raise ValueError(f"{files!r} is no list of names")
    return tuple(texts)


def _find(by_name: Mapping[str, Path], name: str) -> Path | None:
    """Find a file by its name; one that is earlier in STEM_SUFFIXES is taken first."""
    wanted = (name.lower(), *(name.lower() + suffix for suffix in STEM_SUFFIXES))
    return next((by_name[each] for each in wanted if each in by_name), None)


def _grouped(tracks: Sequence[tuple[str, Path]]) -> SongStems:
    files = {source: tuple(path for name, path in tracks if name == source) for source in SOURCES}
    return SongStems({source: paths for source, paths in files.items() if paths}, multitrack=True)


def _moisesdb_stems(folder: Path) -> SongStems | None:
    """Group the tracks as MoisesDB's own four stems do."""
    if not (folder / "data.json").is_file():
        return None
    try:
        content = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        if "stems" not in content:  # the description of something else
            return None
        return _grouped(
            [
                (
                    stem["stemName"] if stem["stemName"] in SOURCES else OTHER,
                    folder / stem["stemName"] / f"{track['id']}.{track['extension']}",
                )
                for stem in content["stems"]
                for track in stem["tracks"]
            ]
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(
            f"{folder / 'data.json'} is not one of MoisesDB ({error!r}): copy it again"
        ) from error


def _slakh_stems(folder: Path) -> SongStems | None:
    """Group the tracks that were rendered. Slakh2100 has no singers: the vocals are silent."""
    if not ((folder / "metadata.yaml").is_file() and (folder / "stems").is_dir()):
        return None
    try:
        content = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
        found = []
        for name, stem in content["stems"].items():
            path = next((folder / "stems").glob(f"{name}.*"), None)
            if path is not None:
                kind = "bass" if stem["inst_class"] == "Bass" else OTHER
                found.append(("drums" if stem["is_drum"] else kind, path))
        return _grouped(found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(
            f"{folder / 'metadata.yaml'} is not one of Slakh2100 ({error!r}): copy it again"
        ) from error
