"""Read the codes of a folder of songs, as far as one part of the prior needs them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from shared.codes.manifest import Manifest, read_manifest, require_format
from shared.codes.song_codes import SongCodes
from shared.errors import Refusals, require
from shared.sources import SOURCES

T = TypeVar("T")


def open_corpus(folder: Path) -> Manifest:
    """Read the list of the songs of a folder of codes.

    Raises:
        UserError: the list is missing, damaged or empty, or the codes are of other sources.
    """
    manifest = read_manifest(folder)
    require(bool(manifest.files), f"{folder} holds no songs: extract codes of a folder with some")
    sources = manifest.format.sources
    require(
        sources == SOURCES,
        f"{folder} holds the sources {', '.join(sources)}, not {', '.join(SOURCES)}: "
        "extract codes with a codec of these",
    )
    return manifest


def read_songs(manifest: Manifest, select: Callable[[SongCodes], T]) -> Iterator[T]:
    """Read one song after the other, and select a part of each.

    Where some cannot be read, the others are yielded first.

    Raises:
        UserError: songs cannot be read (see `read_song`), or are refused by `select`. All of them
            are named.
    """
    refusals = Refusals()
    for path in manifest.files:
        with refusals.collecting():
            yield select(read_song(manifest, path))
    refusals.check(f"{len(refusals.sentences)} songs of codes cannot be used: extract them again")


def read_song(manifest: Manifest, path: Path) -> SongCodes:
    """Read one of the songs that the list names.

    Raises:
        UserError: it is missing, damaged, empty, or of another format than the list says.
    """
    song = SongCodes.load(path)
    require(song.num_frames > 0, f"{path} holds no frames: extract codes of a longer song")
    require_format(song, manifest.format)
    return song
