"""Hydrogen's drum kits: an XML file that names samples for each drum and velocity."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.band.drums.drum_samples import Drum, Layer, Sample
from shared.errors import UserError


@dataclass(frozen=True)
class HydrogenKit:
    """A kit as its file describes it; `licence` is empty where the file states none."""

    name: str
    licence: str
    drums: tuple[Drum, ...]


def read_hydrogen_kit(folder: Path) -> HydrogenKit:
    """Read the kit in a folder. Drums whose samples are all missing are left out.

    Raises:
        UserError: the folder's drumkit.xml is missing or broken.
    """
    path = Path(folder) / "drumkit.xml"
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"cannot read the drum kit {path} ({error}); install it again") from error
    drums = []
    for element in _below(root, "instrument"):
        layers = tuple(sorted(_layers(element, path.parent), key=lambda layer: layer.low))
        volume = _number(element, "volume", 1.0) * _number(element, "gain", 1.0)
        left, right = (volume * _number(element, side, 1.0) for side in ("pan_L", "pan_R"))
        if layers:
            curve = 1.0 if len(layers) > 1 else 1.5
            drums.append(Drum(_text(element, "name"), (left, right), layers, curve))
    return HydrogenKit(
        _text(root, "name") or path.parent.name, _text(root, "license"), tuple(drums)
    )


def _layers(instrument: ElementTree.Element, folder: Path) -> Iterator[Layer]:
    """Yield the layers of an instrument. In old kits it has a file name instead."""
    for place in list(_below(instrument, "layer")) or [instrument]:
        path = folder / _text(place, "filename")
        if path.is_file():
            gain = 1.0 if place is instrument else _number(place, "gain", 1.0)
            yield Layer(Sample(path), _number(place, "min", 0.0), _number(place, "max", 1.0), gain)


def _below(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """Find the elements of that name, in any namespace."""
    return (child for child in element.iter() if child.tag.rpartition("}")[2] == name)


def _text(element: ElementTree.Element, name: str) -> str:
    """Return the text of the child of that name; empty where there is none."""
    texts = (child.text or "" for child in element if child.tag.rpartition("}")[2] == name)
    return next(texts, "").strip()


def _number(element: ElementTree.Element, name: str, default: float) -> float:
    try:
        return float(_text(element, name))
    except ValueError:
        return default
