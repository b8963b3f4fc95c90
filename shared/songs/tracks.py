"""Find the songs of a data folder and say which split each belongs to.

Several layouts are read, and one folder may mix them. Songs lie in the folder itself, or in
the folders `train/`, `valid/` (or `validation/`) and `test/` in it:

- MUSDB18:     `NAME.stem.mp4`
- MUSDB18-HQ:  `NAME/{vocals,bass,drums,other}.wav`
- any stems:   the same with `.flac .ogg .mp3 .m4a`
- MoisesDB and Slakh2100: see `shared.songs.layouts`

A MUSDB18 folder is split as the package musdb splits it: 86 train, 14 valid, 50 test. The list of
validation songs is read from the installed package without importing it, because the import needs
an ffmpeg program.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import yaml

from shared.errors import UserError, require
from shared.songs.layouts import STEM_SUFFIXES, Names, find_stems, read_names
from shared.sources import SOURCES

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
STEM_MP4 = ".stem.mp4"
_SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
}


@dataclass(frozen=True)
class Track:
    """A track is a song on disk.

    Attributes:
        name: its name.
        split: its split.
        path: its folder, or its `.stem.mp4` file.
        stems: the files of each source, which are summed; None for a `.stem.mp4` file.
        missing: the sources of which it has no file, but should have one.
        multitrack: see `shared.songs.layouts.SongStems`.
        song_json: the file of that name in its folder, or None.
    """

    name: str
    split: Split
    path: Path
    stems: Mapping[str, tuple[Path, ...]] | None = None
    missing: tuple[str, ...] = ()
    multitrack: bool = False
    song_json: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The audio files of this song, by names that also say of which source they are.

        The name of a stem that is called after its source is that of the file.
        """
        if self.stems is None:
            return {self.path.name: self.path}
        found = [(source, file) for source, files in self.stems.items() for file in files]
        return {
            file.name
            if file.stem.lower() == source
            else f"{source}: {file.relative_to(self.path)}": file
            for source, file in found
        }

    def require_whole(self) -> None:
        """Raise UserError where it has some of the four stems, but not all."""
        require(
            not self.missing,
            f"{self.path} has no {' and no '.join(self.missing)} stem; a song needs "
            f"{', '.join(SOURCES)} (a source that does not play is a silent file of the same "
            "length; check-data --map names files that are called otherwise)",
        )


def find_tracks(root: Path | str) -> list[Track]:
    """List the songs under `root`, by split, then by name, also those that lack a stem.

    Folders named `train/`, `valid/` and `test/` decide the split. Where only `valid/` is missing,
    those songs of `train/` that are on musdb's validation list are the validation split; if none is
    on it, a tenth of `train/` is, chosen by name. Without such folders songs are split 8 : 1 : 1 by
    name. See `split_by_name`.

    Raises:
        UserError: the folder is missing or holds no song, or two songs in one place have the same
            name.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; name a folder of songs")
    names = read_names(root)
    found: dict[Split, list[Path]] = {}
    for folder, split in _SPLIT_FOLDERS.items():
        if (root / folder).is_dir():
            found[split] = found.get(split, []) + _song_paths(root / folder, names)
    if not found:
        found = split_by_name(_song_paths(root, names), valid=0.1, test=0.1)
    elif "valid" not in found:
        found |= _split_train(found.get("train", []))
    tracks = [_track(path, split, names) for split in SPLITS for path in found.get(split, [])]
    if not tracks:
        raise UserError(
            f"{root} holds no songs; put there NAME{STEM_MP4} files, or a folder per song with "
            f"{', '.join(SOURCES)} as {' '.join(STEM_SUFFIXES)}, directly or in train/ valid/ test/"
        )
    return tracks


def nested_songs(root: Path | str) -> list[Path]:
    """List the folders of songs that lie one folder too deep, and so are not among the songs."""
    root = Path(root)
    names = read_names(root)
    places = [root, *(root / folder for folder in _SPLIT_FOLDERS if (root / folder).is_dir())]
    outer = [
        folder
        for place in places
        for folder in _folders(place)
        if folder not in places and find_stems(folder, names) is None
    ]
    return [song for folder in outer for song in _folders(folder) if find_stems(song, names)]


def _folders(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir())
    return [path for path in found if path.is_dir() and not path.name.startswith(".")]


@cache
def musdb_validation_names() -> frozenset[str]:
    """Read the names of the 14 songs of MUSDB18's `train/` that musdb uses for validation."""
    package = find_spec("musdb")  # only locates it
    if package is None or not package.submodule_search_locations:
        raise UserError("the Python package musdb is not installed; run: pip install musdb")
    config = Path(package.submodule_search_locations[0]) / "configs" / "mus.yaml"
    return frozenset(yaml.safe_load(config.read_text(encoding="utf-8"))["validation_tracks"])


def split_by_name(songs: Sequence[Path], *, valid: float, test: float) -> dict[Split, list[Path]]:
    """Split songs by a hash of their names, so that adding songs does not move the others.

    `valid` and `test` are the expected shares. So that no split of a small folder stays empty, the
    song with the highest hash is always in "train", and the songs with the lowest hashes are in
    "valid" and "test" if no other song is.
    """
    ranked = sorted(songs, key=lambda path: _hash(song_name(path)))
    candidates = ranked[:-1]
    below = [path for path in candidates if _hash(song_name(path)) < valid + test]
    validating = [path for path in below if _hash(song_name(path)) < valid] or candidates[:1]
    testing = below[len(validating) :]
    if test > 0 and not testing:
        testing = candidates[len(validating) :][:1]
    return {
        "train": sorted(ranked[len(validating) + len(testing) :]),
        "valid": sorted(validating),
        "test": sorted(testing),
    }


def song_name(path: Path) -> str:
    """Name a song of stems after its folder, or after its stem file without `.stem.mp4`."""
    return path.name.removesuffix(STEM_MP4)


def mix_name(path: Path) -> str:
    """Name a song that is one audio file after the file, without its suffix or `.stem.mp4`."""
    return song_name(path) if path.name.endswith(STEM_MP4) else path.stem


def _hash(name: str) -> float:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _split_train(songs: list[Path]) -> dict[Split, list[Path]]:
    listed = [path for path in songs if song_name(path) in musdb_validation_names()]
    if listed:
        return {"train": [path for path in songs if path not in listed], "valid": listed}
    by_name = split_by_name(songs, valid=0.1, test=0.0)
    return {"train": by_name["train"], "valid": by_name["valid"]}


def _song_paths(folder: Path, names: Names) -> list[Path]:
    """List stem files and folders with at least one stem, sorted by name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        is_file = path.is_file()
        is_song = path.name.endswith(STEM_MP4) if is_file else find_stems(path, names) is not None
        if is_song and not path.name.startswith("."):
            twin = found.setdefault(song_name(path), path)
            if twin != path:
                raise UserError(f"{twin} and {path} are two songs of one name; rename one")
    return list(found.values())


def _track(path: Path, split: Split, names: Names) -> Track:
    stems = find_stems(path, names)
    if stems is None:
        return Track(song_name(path), split, path)
    song_json = path / "song.json"
    return Track(
        path.name,
        split,
        path,
        stems.files,
        tuple(stems.missing),
        stems.multitrack,
        song_json if song_json.is_file() else None,
    )
