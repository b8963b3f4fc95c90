"""Soundfonts that symusic plays in tune: the tuning of every zone is moved into a sample's header.

symusic 0.5.9 reads the pitch of a sample from the sample's header alone. It ignores the root key of
the zone (generator 58) and misreads its coarse tuning. FluidR3 and TimGM6mb set the root key nearly
everywhere, so that without this module their basses sound up to two octaves flat. Here each zone
with a tuning gets a sample header of its own, which contains the zone's root key, coarse tuning and
fine tuning (SoundFont 2.04, sections 7.9, 7.10 and 8.1.2).

symusic also trusts every number of a file that names a place in it, and ends the whole process
where one of them is wrong. Such files are refused here.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from shared.errors import UserError

_GENERATOR = np.dtype([("op", "<u2"), ("amount", "<i2")])
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_PRESET = np.dtype([("name", "S20"), ("number", "<u2", 2), ("bag", "<u2"), ("rest", "<u4", 3)])
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
_INSTRUMENT_ID, _COARSE, _FINE, _SAMPLE_ID, _ROOT, _UNUSED = 41, 51, 52, 53, 58, 59
_LAST = 60  # the highest number of a generator
_MODE, _LOOPING, _NOT_LOOPING = 54, (1, 3), (0, 2)
# They move the beginning, the end and the loop of a sample: by samples, and by 32768 samples.
_MOVES = ((0, 4), (1, 12), (2, 45), (3, 50))
_CUTS = (0, 4, 1, 12)  # those of the beginning and the end
_RATES = (400, 768_000)  # Hz
_COMPRESSED = 0x10  # in the type of a sample, which is then a stream of bytes


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
        samples = _chunks(data, chunks[b"sdta"][0], sum(chunks[b"sdta"]))[b"smpl"]
        if start + size > len(data) or sum(samples) > len(data):
            raise ValueError("it ends within a chunk")
        _require_whole(_parts(data, start, size))
        target.write_bytes(_with_preset_data(data, start, size, samples[1]))
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


def _parts(data: bytes, start: int, size: int) -> dict[bytes, bytes]:
    """Return the lists of the preset data by their names."""
    found = _chunks(data, start, start + size)
    return {name: data[offset : offset + length] for name, (offset, length) in found.items()}


def _require_whole(parts: Mapping[bytes, bytes]) -> None:
    """Raise ValueError where a list of the preset data names something that is not there."""
    samples = np.frombuffer(parts[b"shdr"], _SAMPLE)
    for headers, bags, generators, link, linked in (
        (b"phdr", b"pbag", b"pgen", _INSTRUMENT_ID, np.frombuffer(parts[b"inst"], _INSTRUMENT)),
        (b"inst", b"ibag", b"igen", _SAMPLE_ID, samples),
    ):
        first = np.frombuffer(parts[headers], _PRESET if headers == b"phdr" else _INSTRUMENT)
        zones = np.frombuffer(parts[bags], _BAG)["generator"]
        values = np.frombuffer(parts[generators], _GENERATOR)
        _require_rising(first["bag"], len(zones))
        _require_rising(zones, len(values) + 1)
        named = values["amount"][values["op"] == link]
        # The last of each list only marks its end.
        if len(named) and not 0 <= named.min() <= named.max() < len(linked) - 1:
            raise ValueError("a zone names what is not there")


def _require_playable(zone: Mapping[int, int], sample: np.ndarray, sample_bytes: int) -> None:
    """Raise ValueError where a zone plays something outside of its sample, or a loop of nothing."""
    moves = [zone.get(fine, 0) + 32768 * zone.get(coarse, 0) for fine, coarse in _MOVES]
    bounds = zip(sample["bounds"].tolist(), moves, strict=True)
    start, end, loop_start, loop_end = (bound + move for bound, move in bounds)
    compressed = sample["type"] & _COMPRESSED
    if not 0 <= start < end <= (sample_bytes if compressed else sample_bytes // 2):
        raise ValueError("a sample lies beyond the end")
    if not _RATES[0] <= sample["rate"] <= _RATES[1]:
        raise ValueError("a sample has no sample rate")
    mode = zone.get(_MODE, 0)
    if mode in _LOOPING:
        # Those of a compressed sample count from its own beginning, and it says nothing of its end.
        first, last = (0, loop_end) if compressed else (start, end)
        if not first <= loop_start < loop_end <= last:
            raise ValueError("a loop lies beyond its sample")
    elif mode not in _NOT_LOOPING:
        raise ValueError("a zone loops in a way that does not exist")


def _require_rising(places: np.ndarray, count: int) -> None:
    """Raise ValueError unless the numbers never fall, and are below `count`."""
    if len(places) < 2 or (np.diff(places.astype(np.int64)) < 0).any() or places[-1] >= count:
        raise ValueError("its lists do not fit together")


def _with_preset_data(data: bytes, start: int, size: int, sample_bytes: int) -> bytes:
    parts = _parts(data, start, size)
    generators, of_presets = (
        np.frombuffer(parts[name], _GENERATOR).copy() for name in (b"igen", b"pgen")
    )
    for each in (generators, of_presets):
        each["op"][each["op"] > _LAST] = _UNUSED  # unknown ones must be ignored
    parts[b"pgen"] = of_presets.tobytes()
    parts[b"shdr"] = _tune(
        np.frombuffer(parts[b"inst"], _INSTRUMENT)["bag"],
        np.frombuffer(parts[b"ibag"], _BAG)["generator"],
        generators,
        np.frombuffer(parts[b"shdr"], _SAMPLE),
        sample_bytes,
    ).tobytes()
    parts[b"igen"] = generators.tobytes()
    body = b"pdta" + b"".join(
        name + struct.pack("<I", len(part)) + part for name, part in parts.items()
    )
    before, after = data[12 : start - 12], data[start + size :]
    body = before + b"LIST" + struct.pack("<I", len(body)) + body + after
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"sfbk" + body


def _tune(
    instruments: np.ndarray,
    bags: np.ndarray,
    generators: np.ndarray,
    samples: np.ndarray,
    sample_bytes: int,
) -> np.ndarray:
    """Return the sample headers and one more for each new tuning, which `generators` then name."""
    if (samples["type"] & _COMPRESSED).any():
        # They count decoded samples, but symusic takes them for bytes of the stream, and ends the
        # process where they exceed it. Without them each sample is played as a whole.
        generators["op"][np.isin(generators["op"], _CUTS)] = _UNUSED
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
            _require_playable(tuning, sample, sample_bytes)
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
