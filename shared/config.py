"""Presets: TOML files read into frozen, validated dataclasses.

A configuration is a tree of frozen dataclasses. Every key is checked against the dataclass's fields and
every value against its annotation; ranges are each dataclass's own business, in `__post_init__`.
"""

import dataclasses
import difflib
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shared.errors import UserError

C = TypeVar("C")


def load_config(
    cls: type[C],
    presets: Path,
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
) -> C:
    """Read a configuration: the preset first, then `file`, then `overrides`, later ones winning.

    Args:
        cls: the root dataclass.
        presets: folder of `NAME.toml` files.
        preset: name of a preset, or None for the dataclass's own defaults.
        file: a TOML file with any subset of the keys.
        overrides: `section.key=value` strings; the value is TOML, or a bare string.

    Raises:
        UserError: unknown preset or key, unreadable file, value of the wrong type or range.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        path = presets / f"{preset}.toml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in presets.glob("*.toml")))
            raise UserError(f"there is no preset '{preset}': choose one of {known}")
        values = _merge(values, _read_toml(path))
    if file is not None:
        values = _merge(values, _read_toml(file))
    for override in overrides:
        values = _merge(values, _parse_override(override))
    return config_from_dict(cls, values)


def config_from_dict(cls: type[C], values: Mapping[str, Any], where: str = "") -> C:
    """Build a configuration from nested mappings, checking names and types (inverse of `config_to_dict`)."""
    hints = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments = {}
    for name, value in values.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean '{where}{near[0]}'?" if near else ""
            raise UserError(f"there is no setting '{where}{name}'{hint}")
        arguments[name] = _coerce(value, hints[name], f"{where}{name}")
    return cls(**arguments)


def config_to_dict(config: Any) -> dict[str, Any]:
    """A configuration as nested dicts of plain values, ready for JSON."""
    return dataclasses.asdict(config)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise UserError(f"'{override}' is not an override: write it as section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _merge(base: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in update.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _coerce(value: Any, kind: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise UserError(f"'{where}' is a section: set its keys, as in {where}.key=value")
        return config_from_dict(typing.cast(type, kind), value, f"{where}.")
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(value, list | tuple):
        inner = args[:1] * len(value) if args[-1] is Ellipsis else args
        if len(inner) == len(value):
            items = zip(value, inner, strict=True)
            return tuple(_coerce(v, k, f"{where}[{i}]") for i, (v, k) in enumerate(items))
    elif origin is typing.Literal:
        if value in args:
            return value
        raise UserError(f"'{where}' must be one of {', '.join(map(str, args))}, not {value!r}")
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif kind in (int, bool, str) and type(value) is kind:
        return value
    name = getattr(kind, "__name__", str(kind)) if origin is None else str(kind)
    raise UserError(f"'{where}' must be of type {name}, not {value!r}")
