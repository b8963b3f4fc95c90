"""Find the songs of a data folder and say which split each belongs to.

Three layouts are read, and may be mixed; `train/`, `valid/` and `test/` folders hold songs in the
same forms:

- MUSDB18:     `NAME.stem.mp4`
- MUSDB18-HQ:  `NAME/{vocals,bass,drums,other}.wav`
- any stems:   the same with `.flac .ogg .mp3 .m4a`

Splits are musdb's own where the folder is laid out as musdb lays it out: 86 train, 14 valid, 50
test. The list of validation songs is read from the installed musdb package, which itself cannot be
imported without an ffmpeg program.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import yaml

from shared.errors import UserError
from shared.sources import SOURCES

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
STEM_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a")
STEM_MP4 = ".stem.mp4"


@dataclass(frozen=True)
class Track:
    """A song on disk: four `stems` (source name -> file), or one `stem_mp4`; the other is None.

    `song_json` is the file of that name beside the stems, or None.
    """

    name: str
    split: Split
    stems: dict[str, Path] | None = None
    stem_mp4: Path | None = None
    song_json: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The audio files that this song is made of."""
        return (self.stem_mp4,) if self.stem_mp4 else tuple((self.stems or {}).values())


def discover_tracks(root: Path | str) -> list[Track]:
    """List the songs under `root`, by split, then by name.

    With `train/` or `test/` folders these decide; where there is no `valid/`, the songs of `train/`
    on musdb's validation list are the validation split, and if none is on it, a tenth of them,
    chosen by name. Without such folders songs are split 8 : 1 : 1 by name. See `split_by_name`.

    Raises UserError where the folder is missing, holds no song, holds a song with some of the four
    stems but not all, or two songs of one name in one place.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; name a folder of songs")
    found: dict[Split, list[Path]] = {
        split: _song_paths(root / split) for split in SPLITS if (root / split).is_dir()
    }
    if not found:
        found = split_by_name(_song_paths(root), valid=0.1, test=0.1)
    elif "valid" not in found:
        found |= _split_train(found.get("train", []))
    tracks = [_track(path, split) for split in SPLITS for path in found.get(split, [])]
    if not tracks:
        raise UserError(
            f"{root} holds no songs; put there NAME{STEM_MP4} files, or a folder per song with "
            f"{', '.join(SOURCES)} as {' '.join(STEM_SUFFIXES)}, directly or in train/ valid/ test/"
        )
    return tracks


@cache
def musdb_validation_names() -> frozenset[str]:
    """The names of the 14 songs that musdb takes out of MUSDB18's `train/` for validation."""
    package = find_spec("musdb")  # only locates it
    if package is None or not package.submodule_search_locations:
        raise UserError("the Python package musdb is not installed; run: pip install musdb")
    config = Path(package.submodule_search_locations[0]) / "configs" / "mus.yaml"
    return frozenset(yaml.safe_load(config.read_text(encoding="utf-8"))["validation_tracks"])


def split_by_name(songs: Sequence[Path], *, valid: float, test: float) -> dict[Split, list[Path]]:
    """Split songs by a hash of their names: a song stays in its split as others come and go.

    `valid` and `test` are the expected shares. So that no split of a small folder stays empty, the
    song of the highest hash always trains, and those of the lowest validate and test if no other
    song does.
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
    """The song's name: its folder's, or its stem file's without `.stem.mp4`."""
    return path.name.removesuffix(STEM_MP4)


def mix_name(path: Path) -> str:
    """The name of a song that is one audio file: the file's without its suffix, or without `.stem.mp4`."""
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


def _song_paths(folder: Path) -> list[Path]:
    """Stem files and folders with at least one stem, sorted by name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        is_song = path.name.endswith(STEM_MP4) if path.is_file() else bool(_stems(path))
        if is_song and not path.name.startswith("."):
            twin = found.setdefault(song_name(path), path)
            if twin != path:
                raise UserError(f"{twin} and {path} are two songs of one name; rename one")
    return list(found.values())


def _stems(folder: Path) -> dict[str, Path]:
    """The stems in a folder. Where one source comes in two formats, the first of STEM_SUFFIXES is
    taken.
    """
    if not folder.is_dir():
        return {}
    files = {path.name.lower(): path for path in folder.iterdir() if path.is_file()}
    return {
        source: next(files[source + suffix] for suffix in STEM_SUFFIXES if source + suffix in files)
        for source in SOURCES
        if any(source + suffix in files for suffix in STEM_SUFFIXES)
    }


def _track(path: Path, split: Split) -> Track:
    if path.is_file():
        return Track(song_name(path), split, stem_mp4=path)
    stems = _stems(path)
    missing = [source for source in SOURCES if source not in stems]
    if missing:
        raise UserError(
            f"{path} has no {' and no '.join(missing)} stem; a song needs {', '.join(SOURCES)} "
            f"(a source that does not play is a silent file of the same length)"
        )
    song_json = path / "song.json"
    return Track(
        path.name, split, stems=stems, song_json=song_json if song_json.is_file() else None
    )
