"""Drums of a soundfont that holds one kit: a preset zone for each key, a sample for each velocity.

symusic plays every stroke of such a kit equally loud, so its samples are read here (SoundFont 2.04,
sections 7 and 8.1.2). Only what a drum needs is understood: keys, velocities, samples and pan.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from shared.band.drums.drum_samples import Drum, Layer, Sample
from shared.errors import UserError

_PAN, _INSTRUMENT, _KEYS, _VELOCITIES, _SAMPLE_ID = 17, 41, 43, 44, 53
_CURVE = 1.5  # its layers are all recorded at one level

Zone = dict[int, int]


def read_drum_soundfont(path: Path) -> dict[int, Drum]:
    """Return the drums of a soundfont's first preset by their keys.

    Raises:
        UserError: the file is missing or damaged, or its samples are compressed (.sf3).
    """
    try:
        data = Path(path).read_bytes()
        return _read(Path(path), data)
    except OSError as error:
        raise UserError(f"cannot read the drum kit {path} ({error.strerror})") from error
    except (KeyError, IndexError, struct.error) as error:
        raise UserError(f"the drum kit {path} is damaged; install it again") from error


def _read(path: Path, data: bytes) -> dict[int, Drum]:
    chunks = dict(_chunks(data, 12, len(data)))
    samples = list(struct.iter_unpack("<20sIIIIIBbHH", _content(data, chunks["shdr"])))
    bags = [bag for _, bag in struct.iter_unpack("<20sH", _content(data, chunks["inst"]))]
    drums: dict[int, Drum] = {}
    first, last = (
        preset[3]
        for preset in struct.iter_unpack("<20sHHH12x", _content(data, chunks["phdr"])[:76])
    )
    for zone in _zones(data, chunks["pbag"], chunks["pgen"], first, last):
        if _INSTRUMENT not in zone:
            continue
        number = zone[_INSTRUMENT]
        layers = []
        pan = 0
        shared: Zone = {}
        for part in _zones(data, chunks["ibag"], chunks["igen"], bags[number], bags[number + 1]):
            if _SAMPLE_ID not in part:
                shared = part  # what holds for the instrument's other zones
                continue
            part = shared | part
            _name, start, end, *_, rate, _root, _cents, _link, kind = samples[part[_SAMPLE_ID]]
            if kind & 0x10:
                raise UserError(f"the samples of {path} are compressed; use an .sf2 file")
            low, high = _range(part.get(_VELOCITIES, 127 << 8))
            span = (chunks["smpl"][0] + 2 * start, end - start)
            layers.append(Layer(Sample(path, span, rate), low / 127, high / 127))
            pan = part.get(_PAN, 0)
        share = min(max(pan / 1000 + 0.5, 0.0), 1.0)  # of the right channel
        gains = (min(2 - 2 * share, 1.0), min(2 * share, 1.0))
        key, _ = _range(zone.get(_KEYS, 0))
        drums[key] = Drum(
            str(key), gains, tuple(sorted(layers, key=lambda layer: layer.low)), _CURVE
        )
    return drums


def _zones(
    data: bytes, bags: tuple[int, int], generators: tuple[int, int], first: int, last: int
) -> Iterator[Zone]:
    """Yield the generators of zones `first` to `last` - 1."""
    starts = [bag for bag, _ in struct.iter_unpack("<HH", _content(data, bags))]
    pairs = list(struct.iter_unpack("<Hh", _content(data, generators)))
    for zone in range(first, last):
        yield dict(pairs[starts[zone] : starts[zone + 1]])


def _range(amount: int) -> tuple[int, int]:
    return amount & 0xFF, amount >> 8 & 0xFF


def _content(data: bytes, chunk: tuple[int, int]) -> bytes:
    return data[chunk[0] : chunk[0] + chunk[1]]


def _chunks(data: bytes, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield name, offset and size of every chunk, also inside lists."""
    while start + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, start)
        if name == b"LIST":
            yield from _chunks(data, start + 12, start + 8 + size)
        else:
            yield name.decode("latin-1"), (start + 8, size)
        start += 8 + size + size % 2
