"""Which audio stream of a stem file is which source.

A stem file (`.stem.mp4`, Native Instruments' Stems format) holds the mixture and four stems as
streams of one file. MUSDB18's files name no streams and have them in the order of STEM_STREAMS.
Other programs name them, and in an order of their own: stempeg as the titles of the streams, and
programs for DJs in a box of JSON that names all but the first, which is the mixture.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from shared.errors import UserError

STEM_STREAMS = ("mixture", "drums", "bass", "other", "vocals")

_NAMES = {
    "mixture": ("mixture", "mix", "master"),
    "drums": ("drums", "drum"),
    "bass": ("bass",),
    "other": ("other", "others"),
    "vocals": ("vocals", "vocal", "vox"),
}
_BOX_HEADER = 8
_LARGEST_BOX = 1_000_000  # bytes of JSON; a cover is in another box


def find_stem(path: Path, titles: Sequence[str], source: str) -> int:
    """Return which stream is a source.

    The names decide where any of them is known, and the order decides where none is.

    Args:
        path: the stem file.
        titles: the titles of its audio streams, which may be empty.
        source: one of STEM_STREAMS.

    Raises:
        UserError: the streams are named, but none of them as the source.
    """
    names = [title.strip().casefold() for title in titles]
    if not _known(names):
        named = [name.strip().casefold() for name in _names_in_box(path)]
        if not _known(named):
            return STEM_STREAMS.index(source)
        names = [STEM_STREAMS[0], *named]
    for index, name in enumerate(names):
        if name in _NAMES[source]:
            return index
    raise UserError(
        f"{path} names its streams {', '.join(map(repr, names))}, and none of them {source}: name "
        "them mixture, drums, bass, other and vocals, or use stems in a folder"
    )


def _known(names: Sequence[str]) -> bool:
    return any(name in known for name in names for known in _NAMES.values())


def _names_in_box(path: Path) -> list[str]:
    """Return the names in the box moov/udta/stem; none where there is no such box."""
    with path.open("rb") as file:
        for start, stop in _boxes(file, (b"moov", b"udta", b"stem"), 0, path.stat().st_size):
            file.seek(start)
            try:
                content = json.loads(file.read(min(stop - start, _LARGEST_BOX)))
                return [str(stem["name"]) for stem in content["stems"]]
            except (ValueError, KeyError, TypeError):
                continue
    return []


def _boxes(
    file: BinaryIO, kinds: Sequence[bytes], start: int, stop: int
) -> Iterator[tuple[int, int]]:
    """Find boxes in boxes of these kinds, from byte to byte; return where their content is."""
    while start + _BOX_HEADER <= stop:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(_BOX_HEADER))
        content = start + _BOX_HEADER
        if size == 1:  # the size follows, in eight bytes
            size = int.from_bytes(file.read(8), "big")
            content += 8
        end = stop if size == 0 else start + size
        if not content <= end <= stop:
            return
        if kind == kinds[0]:
            inner = _boxes(file, kinds[1:], content, end) if kinds[1:] else [(content, end)]
            yield from inner
        start = end
