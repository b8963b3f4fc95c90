"""Read presets, which are TOML files, into frozen and validated dataclasses.

A configuration is a tree of frozen dataclasses. Loading checks the name of every key, the type of
every value against the annotation of its field, and every number against the `Range` in that
annotation. Rules that join several fields are in the `__post_init__` of their dataclass. Where code
builds a dataclass directly, its values are trusted: only `__post_init__` runs.
"""

import dataclasses
import difflib
import sys
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from shared.errors import UserError, require

C = TypeVar("C")

_LARGEST_FILE = 1 << 16  # bytes; reading a key of 100,000 parts takes minutes


@dataclasses.dataclass(frozen=True)
class Range:
    """A range holds the numbers that a setting may take, from `low` to `high`, both included.

    It annotates a field: `steps: Annotated[int, Range(1, 1000)] = 10`.
    """

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        """Return whether `value` lies in the range; nan lies in none."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """Describe the range for an error message."""
        return f"from {self.low} to {self.high}"


Fraction = Annotated[float, Range(0, 1)]


def load_config(
    cls: type[C],
    presets: Path,
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
) -> C:
    """Read a configuration: the preset first, then `file`, then `overrides`; later values win.

    Args:
        cls: the root dataclass.
        presets: folder of `NAME.toml` files.
        preset: name of a preset, or None for the dataclass's own defaults.
        file: a TOML file with any subset of the keys.
        overrides: `section.key=value` strings; the value is TOML, or a bare string.

    Raises:
        UserError: the preset or a key is unknown, the file cannot be read, or a value has the wrong
            type or is out of range.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        known = {path.stem: path for path in presets.glob("*.toml")}
        if preset not in known:
            raise UserError(f"there is no preset '{preset}': choose one of {_join(sorted(known))}")
        values = _merge(values, _read_toml(known[preset]))
    if file is not None:
        values = _merge(values, _read_toml(file))
    for override in overrides:
        values = _merge(values, _parse_override(override))
    return config_from_dict(cls, values)


def config_from_dict(cls: type[C], values: Mapping[str, Any], where: str = "") -> C:
    """Build a configuration from nested mappings (inverse of `dataclasses.asdict`).

    Args:
        cls: the dataclass to build.
        values: its fields by name; a field that is absent takes its default.
        where: what error messages put before the names, such as "train.".

    Raises:
        UserError: a name is unknown or missing, or a value has the wrong type or is out of range.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments = {}
    for name, value in values.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"; did you mean '{where}{near[0]}'?" if near else ""
            raise UserError(f"there is no setting {f'{where}{name}'!r}{hint}")
        arguments[name] = _checked(value, hints[name], f"{where}{name}")
    for name, field in fields.items():
        optional = (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
        require(optional or name in arguments, f"the setting '{where}{name}' is missing")
    return cls(**arguments)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():  # reading from a pipe would wait for ever
            raise UserError(f"cannot read the configuration {path}: it is not a regular file")
        if path.stat().st_size > _LARGEST_FILE:
            raise UserError(
                f"{path} is too large for a configuration: name a TOML file of settings"
            )
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the configuration {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path} nests too deeply: settings are written as section.key") from error


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise UserError(f"'{override}' is not an override: write it as section.key=value")
    value = _parse_value(text)
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _parse_value(text: str) -> Any:
    """Read `text` as one TOML value; text that is no such value is a string."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return document["value"] if len(document) == 1 else text


def _merge(base: Mapping[str, Any], update: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    merged = dict(base)
    for key, value in update.items():
        merged[key] = value
        if key in base:
            sections = [isinstance(given, Mapping) for given in (base[key], value)]
            require(
                sections[0] == sections[1],
                f"'{where}{key}' is given both as a section and as one value: keep only one",
            )
            if all(sections):
                merged[key] = _merge(base[key], value, f"{where}{key}.")
    return merged


def _checked(value: Any, kind: Any, where: str) -> Any:
    """Return `value` as the type `kind`, or raise a UserError that names `where` once."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise UserError(f"'{where}' is a section of settings and cannot be {_shown(value)}")
        return config_from_dict(typing.cast(type, kind), value, f"{where}.")
    if origin is Annotated:
        number = _checked(value, arguments[0], where)
        for limits in (mark for mark in arguments[1:] if isinstance(mark, Range)):
            require(number in limits, f"'{where}' must be {limits}, not {_shown(value)}")
        return number
    if origin in (types.UnionType, typing.Union):  # a kind, or None
        (known,) = (each for each in arguments if each is not types.NoneType)
        return None if value is None else _checked(value, known, where)
    if kind is Any:
        return value
    if origin is Mapping and isinstance(value, Mapping):
        return {str(k): _checked(item, arguments[1], f"{where}.{k}") for k, item in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) == len(value):
            items = enumerate(zip(value, inner, strict=True))
            return tuple(_checked(item, of, f"{where}[{i}]") for i, (item, of) in items)
    elif origin is Literal and value in arguments:
        return value
    elif kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)  # nan and infinity have failed the comparison
    elif kind in (int, bool, str) and type(value) is kind:
        return value
    elif kind is Path and isinstance(value, str | Path):
        return Path(value)
    elif _is_enumeration(kind) and value in [member.value for member in kind]:
        return kind(value)
    raise UserError(f"'{where}' must be {describe_type(kind)}, not {_shown(value)}")


def describe_type(kind: Any) -> str:
    """Describe the values that a setting of a type may have."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return f"one of {_join(map(str, arguments))}"
    if _is_enumeration(kind):
        return f"one of {_join(str(member.value) for member in kind)}"
    if origin is Mapping:
        return "a section of values"
    if origin is tuple:
        item = arguments[0]
        if typing.get_origin(item) is Literal:
            return f"a list of some of {_join(map(str, typing.get_args(item)))}"
        item = item if typing.get_origin(item) is None else item.__origin__
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        if dataclasses.is_dataclass(item):
            return f"a list of {count}sections"
        return f"a list of {count}{_TYPES[item][1]}"
    return _TYPES[kind][0]


_TYPES = {
    int: ("a whole number", "whole numbers"),
    float: ("a finite number", "finite numbers"),
    bool: ("true or false", "values true or false"),
    str: ("a text", "texts"),
    Path: ("the name of a file", "names of files"),
}


def _is_enumeration(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _shown(value: Any) -> str:
    """Print a value of any type or size in at most 60 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists too deep
        return "what was given"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _join(names: typing.Iterable[str]) -> str:
    return ", ".join(names)
