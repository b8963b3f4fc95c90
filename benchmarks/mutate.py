"""Damage inputs at random: bytes, JSON, safetensors files and texts.

Every function takes its chance from a generator, so that a number repeats an input.
"""

import copy
import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1)
_HEADER_BYTES = 160  # The beginning of a file says most about the rest.
_DEPTHS = (50, 2_000, 100_000)

# What a value of JSON is replaced by.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e-9, 1e9, 1e300, -1e300, 1e308, 1e-308),
    *(float("nan"), float("inf"), float("-inf"), 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30),
    *("", "x", "0", "nan", "../../x", "/etc/passwd", "a\nb", "a\0b", "\ud800", "-x", "A" * 5000),
    *([], {}, [[]], [0], [None], [1, 2], {"a": 1}, {"": None}, ["x", 1, None]),
)


def mutate_bytes(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Change, cut, repeat or join bytes, from one to eight times."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        chance.choice(_BYTE_CHANGES)(changed, others, chance)
    return bytes(changed)


def _place(data: bytearray, chance: random.Random) -> int:
    """Choose a position, often near the beginning."""
    reach = min(len(data), _HEADER_BYTES) if chance.random() < 0.6 else len(data)
    return chance.randrange(max(1, reach))


def _flip(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _write_number(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    size, code = chance.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    at, number = _place(data, chance), chance.choice(_NUMBERS)
    if chance.random() < 0.2:
        number = chance.getrandbits(64)
    packed = struct.pack(chance.choice("<>") + code, number % 2 ** (8 * size))
    data[at : at + size] = packed[: max(0, len(data) - at)]


def _cut_off(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _cut_out(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 2, 4, 16, 256))]


def _repeat(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at, size = _place(data, chance), chance.choice((1, 4, 16, 256, 4096))
    data[at:at] = data[at : at + size] * chance.choice((1, 1, 1, 50))


def _insert_noise(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    data[at:at] = chance.randbytes(chance.choice((1, 2, 4, 16, 256)))


def _fill(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at, size = _place(data, chance), chance.choice((4, 16, 256, 4096))
    size = min(size, len(data) - at)
    data[at : at + size] = bytes([chance.choice((0, 255, 0x7F, 0x80))]) * max(0, size)


def _join(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(others)
    data[_place(data, chance) :] = other[chance.randrange(len(other) + 1) :]


def _append(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    data += chance.choice(others)


_BYTE_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    *(_flip, _flip, _write_number, _write_number, _write_number, _cut_off, _cut_out),
    *(_repeat, _insert_noise, _fill, _join, _append),
)


def mutate_json(value: Any, chance: random.Random) -> Any:
    """Replace, remove, add or repeat values at any depth, once or several times."""
    root = [copy.deepcopy(value)]
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        containers = [root, *_containers(root[0])]
        # Each kind of key is as likely as any other, however long a list is.
        chosen = containers[0] if chance.random() < 0.03 else chance.choice(containers)
        _change(chosen, chance)
    return root[0]


def _containers(value: Any) -> list[Any]:
    found: list[Any] = []
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict | list):
            found.append(each)
            pending += each.values() if isinstance(each, dict) else each
    return found


def _change(container: Any, chance: random.Random) -> None:
    keys = [*container] if isinstance(container, dict) else [*range(len(container))]
    new = copy.deepcopy(chance.choice(_VALUES))
    kind = chance.random()
    if not keys or kind < 0.08:
        if isinstance(container, dict):
            container[chance.choice(("", "x", "files", "format", "a\0b"))] = new
        else:
            container.insert(chance.randrange(len(container) + 1), new)
        return
    key = chance.choice(keys)
    if kind < 0.2 and len(keys) > 1:
        del container[key]
    elif kind < 0.3:
        other = container[chance.choice(keys)]
        container[key] = copy.deepcopy(other)
    elif kind < 0.4 and isinstance(container[key], int | float):
        container[key] *= chance.choice((-1, 2, 0.5, 1e6, 1e-6))
    elif kind < 0.45 and isinstance(container, list):
        container *= 2
    else:
        container[key] = new


def json_bytes(value: Any, chance: random.Random) -> bytes:
    """Write JSON as Python does, with nan and infinity; rarely nested deep, or damaged as text."""
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.01:
        depth = chance.choice(_DEPTHS)
        opening, closing = chance.choice((("[", "]"), ('{"a":', "}")))
        text = opening * depth + text + closing * depth
    data = text.encode("utf-8", "surrogatepass")
    return mutate_bytes(data, [data], chance) if chance.random() < 0.2 else data


def mutate_json_text(data: bytes, chance: random.Random) -> bytes:
    """Damage a text that is JSON."""
    return json_bytes(mutate_json(json.loads(data), chance), chance)


def mutate_tensors(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Damage a safetensors file: its bytes, its tensors' values, its header, or JSON within it."""
    kind = chance.random()
    if kind < 0.25:
        return mutate_bytes(data, others, chance)
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + size]), bytearray(data[8 + size :])
    if kind < 0.45 and body:
        for _ in range(chance.choice((1, 4, 64))):
            at, length = chance.randrange(len(body)), chance.choice((1, 2, 4))
            size = min(length, len(body) - at)
            body[at : at + size] = chance.choice((b"\xff", b"\0", b"\x7f", b"\1", b"\2")) * size
    elif kind < 0.6:
        header = mutate_json(header, chance)
    else:
        _mutate_inner_json(header, chance)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(body)


def _mutate_inner_json(header: dict[str, Any], chance: random.Random) -> None:
    """Damage a text of a safetensors header that is JSON itself."""
    texts = header.get("__metadata__", {})
    if texts:
        name = chance.choice(sorted(texts))
        damaged = mutate_json_text(texts[name].encode(), chance)
        texts[name] = damaged.decode("utf-8", "replace")


def mutate_text(text: str, words: Sequence[str], chance: random.Random) -> str:
    """Replace, insert, remove, repeat or swap pieces of a text."""
    pieces = [*text]
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        at, kind = chance.randrange(len(pieces) + 1), chance.random()
        if kind < 0.4:
            pieces[at:at] = chance.choice(words)
        elif kind < 0.6:
            del pieces[at : at + chance.choice((1, 1, 3))]
        elif kind < 0.75:
            pieces[at : at + 1] = chance.choice(words)
        elif kind < 0.85:
            pieces[at:at] = pieces[:at] * chance.choice((1, 1, 20))
        else:
            pieces[at:at] = chr(chance.choice((0, 9, 10, 32, 45, 0x301, 0x2009, 0x661, 0x1F3B8)))
    return "".join(pieces)


def random_text(words: Sequence[str], chance: random.Random) -> str:
    """Put words together."""
    return "".join(chance.choice(words) for _ in range(chance.choice((0, 1, 2, 3, 5, 8, 40))))
