"""Show settings as text: a configuration as TOML, and what differs between two."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from shared.config import Range, describe_type


def as_toml(config: Any) -> str:
    """Write a configuration as a TOML file that `load_config` reads as the same configuration.

    A comment beside each value says which values are allowed.
    """
    return "\n".join(_lines(config, "")).strip() + "\n"


def flatten(tree: Any) -> dict[str, Any]:
    """Turn nested dicts into one dict with dotted names.

    The settings of a run may be repeated under "config.". Each of them is listed once, without that
    prefix.
    """
    return {name.removeprefix("config."): value for name, value in _leaves(tree, "")}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the values of both under each name that they do not agree on, by name.

    A value that is missing is None.
    """
    pairs = {name: (one.get(name), other.get(name)) for name in sorted(one.keys() | other.keys())}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _lines(config: Any, path: str) -> list[str]:
    hints = typing.get_type_hints(type(config), include_extras=True)
    values = {name: getattr(config, name) for name in hints}
    sections = {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}
    rows = [
        (f"{name} = {json.dumps(value)}", _allowed(hints[name]))
        for name, value in values.items()
        if name not in sections
    ]
    width = max((len(row[0]) for row in rows), default=0)
    lines = [f"{text:{width}}  # {allowed}" for text, allowed in rows]
    if path and lines:
        lines = ["", f"[{path}]", *lines]
    for name, section in sections.items():
        lines += _lines(section, f"{path}.{name}" if path else name)
    return lines


def _allowed(hint: Any) -> str:
    """Say which values a setting may have."""
    if typing.get_origin(hint) is Annotated:
        kind, *marks = typing.get_args(hint)
        limits = [str(mark) for mark in marks if isinstance(mark, Range)]
        return " ".join([describe_type(kind), *limits])
    return describe_type(hint)


def _leaves(tree: Any, name: str) -> list[tuple[str, Any]]:
    if not isinstance(tree, dict):
        return [(name, tree)]
    return [
        leaf
        for key, branch in tree.items()
        for leaf in _leaves(branch, f"{name}.{key}" if name else key)
    ]
