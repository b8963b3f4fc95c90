"""What the header of an audio file says about its length.

libsndfile reads a file that was cut short as if it were a shorter file, and for some files it takes
an estimate for the length. The functions of this module look at the bytes themselves, so that
`shared/sound/files.py` can tell such files from whole ones. A program that writes to a pipe cannot
know the length in advance and puts a placeholder into the header; that is no promise.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAX_CHUNKS = 1000  # A damaged file could hold millions of empty ones.
_PLACEHOLDER_POWERS = (31, 32, 63, 64)
_PLACEHOLDER_MARGIN = 8192  # The placeholder may leave room for headers, or be rounded to frames.
_OGG_PAGE_HEADER = 27
_LARGEST_OGG_PAGE = _OGG_PAGE_HEADER + 255 + 255 * 255
_EBML = b"\x1aE\xdf\xa3"
_SEGMENT = b"\x18S\x80g"


@dataclass(frozen=True)
class _Layout:
    """How a container arranges its chunks.

    first: byte offset of the first chunk.
    header: struct format of a chunk's header, which holds its identifier and its size in bytes.
    sound: identifier of the chunk that holds the samples.
    alignment: chunks begin at multiples of so many bytes.
    inclusive: whether a chunk's size counts its own header.
    """

    first: int
    header: str
    sound: bytes
    alignment: int
    inclusive: bool = False


_WAVE64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_LAYOUTS = {
    b"RIFF": _Layout(12, "<4sI", b"data", 2),
    b"RF64": _Layout(12, "<4sI", b"data", 2),
    b"BW64": _Layout(12, "<4sI", b"data", 2),
    b"RIFX": _Layout(12, ">4sI", b"data", 2),
    b"FORM": _Layout(12, ">4sI", b"SSND", 2),
    b"caff": _Layout(8, ">4sq", b"data", 1),
    b"riff": _Layout(40, "<16sQ", _WAVE64_DATA, 8, inclusive=True),
}


def share_of_stated_size(path: Path) -> float:
    """Return the share of the bytes of sound stated in the header that the file holds, 0 to 1.

    WAV (with RF64, BW64 and Wave64), AIFF, CAF, AU and Matroska (WebM) state a size. The share is 1
    for any other format, for a header with a placeholder, and for a header that cannot be followed.
    """
    with path.open("rb") as file:
        file_size = os.fstat(file.fileno()).st_size
        magic = file.read(4)
        if magic in _LAYOUTS:
            start, stated = _find_sound(file, _LAYOUTS[magic], file_size)
        elif magic == b".snd" and len(header := file.read(8)) == 8:
            start, stated = struct.unpack(">2I", header)
        elif magic == _EBML:
            start, stated = _find_segment(file)
        else:
            return 1.0
    if _is_placeholder(stated):
        return 1.0
    return min(1.0, max(0, file_size - start) / stated)


def states_too_little(path: Path) -> bool:
    """Whether a WAV holds more sound than its header states.

    That is so where a program ended before it wrote the length. After the stated length, more bytes
    follow than were stated, and they do not begin as another chunk does.
    """
    with path.open("rb") as file:
        file_size = os.fstat(file.fileno()).st_size
        if file.read(4) != b"RIFF":
            return False
        start, stated = _find_sound(file, _LAYOUTS[b"RIFF"], file_size)
        following = start + stated + stated % 2
        if file_size - following <= stated:
            return False
        file.seek(following)
        name, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
    fits = following + 8 + size <= file_size + 1
    return not (fits and name.isascii() and name.decode("ascii").isprintable())


def ends_within_ogg_page(path: Path) -> bool:
    """Whether the file's last Ogg page is incomplete. False for a file that is not Ogg."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return False
        file_size = os.fstat(file.fileno()).st_size
        file.seek(max(0, file_size - _LARGEST_OGG_PAGE))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < _OGG_PAGE_HEADER:
        return True
    segments = page[_OGG_PAGE_HEADER - 1]
    sizes = page[_OGG_PAGE_HEADER : _OGG_PAGE_HEADER + segments]
    return len(page) < _OGG_PAGE_HEADER + segments + sum(sizes)


def may_be_mp3(path: Path) -> bool:
    """Whether the file begins as an MP3 may: with an ID3 tag, or with the sign of a frame."""
    with path.open("rb") as file:
        start = file.read(3)
    return start == b"ID3" or (start[:1] == b"\xff" and len(start) > 1 and start[1] >= 0xE0)


def mp3_frames(path: Path) -> int:
    """Return how many frames an MP3 has by its Xing, Info or VBRI tag; 0 without such a tag.

    Without a tag every program only estimates the length from the bit rate of the first frame.
    """
    with path.open("rb") as file:
        header = file.read(10)
        if header[:3] == b"ID3" and len(header) == 10:
            size = 0
            for byte in header[6:]:  # ID3 uses seven bits of each byte
                size = size << 7 | byte & 0x7F
            file.seek(10 + size)
        else:
            file.seek(0)
        start = file.read(4096)
    frame = start[max(0, start.find(b"\xff")) :][:60]  # Padding may lie before the first frame.
    for tag, offset in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        at = frame.find(tag)
        if at < 0 or len(frame) < at + offset + 4:
            continue
        states_frames = tag == b"VBRI" or frame[at + 7] & 1
        return int.from_bytes(frame[at + offset : at + offset + 4], "big") if states_frames else 0
    return 0


def _find_sound(file: BinaryIO, layout: _Layout, file_size: int) -> tuple[int, int]:
    """Return offset and stated size of the samples; a size of 0 where the chunk is not found."""
    header = struct.Struct(layout.header)
    position, long_size = layout.first, 0
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        content = file.read(header.size)
        if len(content) < header.size:
            break
        identifier, size = header.unpack(content)
        if layout.inclusive:
            size -= header.size
        if identifier == b"ds64":  # RF64 keeps sizes beyond 4 GB here: of the file, of the samples
            long_size = int.from_bytes(file.read(16)[8:], "little")
        if identifier == layout.sound:
            is_long = size == 2**32 - 1 and long_size
            return position + header.size, long_size if is_long else size
        if size < 0:
            break
        position += header.size + size
        position += -position % layout.alignment
        if position >= file_size:
            break
    return file_size, 0


def _find_segment(file: BinaryIO) -> tuple[int, int]:
    """Return offset and stated size of a Matroska file's segment, which holds all of its sound.

    The size is 0 where it is unknown, as in what was written to a pipe.
    """
    file.seek(len(_EBML))
    file.seek(_read_ebml_size(file), os.SEEK_CUR)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return 0, 0
    size = _read_ebml_size(file)
    return file.tell(), size


def _read_ebml_size(file: BinaryIO) -> int:
    """Read a size of 1 to 8 bytes, whose first bit that is set tells how many; 0 for unknown."""
    first = file.read(1)
    if not first or first == b"\0":
        return 0
    length = 9 - first[0].bit_length()
    content = first + file.read(length - 1)
    largest = (1 << 7 * length) - 1
    size = int.from_bytes(content, "big") & largest
    return 0 if size == largest else size


def _is_placeholder(size: int) -> bool:
    return size <= 0 or any(
        abs(size - 2**power) <= _PLACEHOLDER_MARGIN for power in _PLACEHOLDER_POWERS
    )
