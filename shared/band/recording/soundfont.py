"""Soundfonts that symusic plays in tune: the tuning of every zone is moved into a sample's header.

symusic 0.5.9 reads the pitch of a sample from the sample's header alone. It ignores the root key of
the zone (generator 58) and misreads its coarse tuning. FluidR3 and TimGM6mb set the root key nearly
everywhere, so that without this module their basses sound up to two octaves flat. Here each zone
with a tuning gets a sample header of its own, which contains the zone's root key, coarse tuning and
fine tuning (SoundFont 2.04, sections 7.9, 7.10 and 8.1.2).
"""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np

from shared.errors import UserError

_GENERATOR = np.dtype([("op", "<u2"), ("amount", "<i2")])
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_INSTRUMENT = np.dtype([("name", "S20"), ("bag", "<u2")])
_SAMPLE = np.dtype(
    [
        ("name", "S20"),
        ("bounds", "<u4", 4),
        ("rate", "<u4"),
        ("root", "u1"),
        ("cents", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ]
)
_COARSE, _FINE, _SAMPLE_ID, _ROOT, _UNUSED = 51, 52, 53, 58, 59


def write_tuned(source: Path, target: Path) -> None:
    """Write the soundfont `source` (.sf2 or .sf3) to `target` with all tuning in sample headers.

    Raises:
        UserError: `source` is missing, or is not a soundfont.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read the soundfont {source} ({error.strerror}); give an .sf2 or .sf3 file"
        ) from error
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise UserError(f"{source} is not a soundfont; give an .sf2 or .sf3 file")
    try:
        chunks = _chunks(data, 12, len(data))
        start, size = chunks[b"pdta"]
        target.write_bytes(_with_preset_data(data, start, size))
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise UserError(f"the soundfont {source} is damaged; download it again") from error


def _chunks(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    """Find the offset and the size of each chunk's content. A LIST has the name of its type."""
    found = {}
    while start + 8 <= end:
        name, size = data[start : start + 4], struct.unpack_from("<I", data, start + 4)[0]
        if name == b"LIST":
            found[data[start + 8 : start + 12]] = (start + 12, size - 4)
        else:
            found[name] = (start + 8, size)
        start += 8 + size
        # A chunk of odd size should be followed by a zero; in MuseScore's files it is not.
        start += data[start : start + 1] == b"\0"
    return found


def _with_preset_data(data: bytes, start: int, size: int) -> bytes:
    parts = {
        name: data[offset : offset + length]
        for name, (offset, length) in _chunks(data, start, start + size).items()
    }
    generators = np.frombuffer(parts[b"igen"], _GENERATOR).copy()
    parts[b"shdr"] = _tune(
        np.frombuffer(parts[b"inst"], _INSTRUMENT)["bag"],
        np.frombuffer(parts[b"ibag"], _BAG)["generator"],
        generators,
        np.frombuffer(parts[b"shdr"], _SAMPLE),
    ).tobytes()
    parts[b"igen"] = generators.tobytes()
    body = b"pdta" + b"".join(
        name + struct.pack("<I", len(part)) + part for name, part in parts.items()
    )
    before, after = data[12 : start - 12], data[start + size :]
    body = before + b"LIST" + struct.pack("<I", len(body)) + body + after
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"sfbk" + body


def _tune(
    instruments: np.ndarray, bags: np.ndarray, generators: np.ndarray, samples: np.ndarray
) -> np.ndarray:
    """Return the sample headers and one more for each new tuning, which `generators` then name."""
    headers = list(samples[:-1])  # the last one only marks the end of the list
    known: dict[tuple[int, int, int], int] = {}
    for first, last in itertools.pairwise(instruments):
        shared: dict[int, int] = {}
        for bag in range(first, last):
            zone = generators[bags[bag] : bags[bag + 1]]
            own = dict(zip(zone["op"].tolist(), zone["amount"].tolist(), strict=True))
            zone["op"][np.isin(zone["op"], (_COARSE, _FINE, _ROOT))] = _UNUSED
            if _SAMPLE_ID not in own:
                shared = own  # the global zone has the defaults of the instrument's other zones
                continue
            tuning = shared | own
            sample = samples[own[_SAMPLE_ID]]
            root = tuning.get(_ROOT, -1)
            root = root if 0 <= root <= 127 else int(sample["root"])
            cents = int(sample["cents"]) + tuning.get(_FINE, 0) + 100 * tuning.get(_COARSE, 0)
            whole = round(cents / 100)
            key = (own[_SAMPLE_ID], root - whole, cents - 100 * whole)
            if key not in known:
                known[key] = len(headers)
                header = sample.copy()
                header["root"], header["cents"] = np.clip(key[1], 0, 127), key[2]
                headers.append(header)
            zone["amount"][zone["op"] == _SAMPLE_ID] = known[key]
    return np.array([*headers, samples[-1]], dtype=_SAMPLE)
