"""Values of the JSON that a page sends, each checked before it is used."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import UserError, require
from shared.music.notes import Note, NoteVocabulary
from shared.times import TimeRange

MOST_NOTES = 20_000
LONGEST_TEXT = 4_000


def parse_object(text: bytes) -> Mapping[str, Any]:
    """Parse a JSON object.

    Raises:
        UserError: the text is no JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("the page sent something that is not JSON: reload it") from error
    require(isinstance(value, dict), "the page sent something that is no JSON object: reload it")
    return dict(value)


def number(value: Any, name: str, lowest: float, highest: float) -> float:
    """Return a finite number between two limits."""
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not lowest <= value <= highest:  # nan fails the comparison
        raise UserError(f"the {name} must be a number from {lowest:g} to {highest:g}")
    return float(value)


def whole_number(value: Any, name: str, lowest: int, highest: int) -> int:
    """Return a whole number between two limits."""
    found = number(value, name, lowest, highest)
    require(found == int(found), f"the {name} must be a whole number")
    return int(found)


def choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """Return one of several texts."""
    require(value in choices, f"there is no such {name}: choose one of {', '.join(choices)}")
    return str(value)


def text(value: Any, name: str) -> str:
    """Return a text of limited length."""
    require(isinstance(value, str), f"the {name} must be a text")
    require(len(value) <= LONGEST_TEXT, f"the {name} is too long: {LONGEST_TEXT} letters at most")
    return str(value)


def items(value: Any, name: str, most: int) -> list[Any]:
    """Return the items of a list of limited length."""
    require(isinstance(value, list), f"the {name} must be a list")
    require(len(value) <= most, f"there are too many {name}: {most} at most")
    return list(value)


def notes(value: Any, seconds: float) -> tuple[Note, ...]:
    """Return notes that are written as `[onset, duration, pitch, velocity]`, in order of onset.

    Args:
        value: the list of notes.
        seconds: the length of the song, within which each note must begin.

    Raises:
        UserError: the list holds something else, or a note that a bass cannot play.
    """
    found = []
    for item in items(value, "notes", MOST_NOTES):
        fields = items(item, "fields of a note", 4)
        require(len(fields) == 4, "a note needs its onset, duration, pitch and velocity")
        found.append(
            Note(
                number(fields[0], "onset of a note", 0, seconds),
                number(fields[1], "length of a note", 0.001, max(seconds, 0.001)),
                whole_number(fields[2], "pitch", NoteVocabulary.LOW, NoteVocabulary.HIGH),
                whole_number(fields[3], "velocity", 1, 127),
            )
        )
    return tuple(sorted(found, key=lambda note: (note.onset, note.pitch)))


def ranges(value: Any, seconds: float) -> tuple[TimeRange, ...]:
    """Return ranges of time that are written as `[start, stop]` in seconds.

    Ranges that overlap or touch are joined.

    Raises:
        UserError: the list holds something else, or a range beyond the song.
    """
    found = []
    for item in items(value, "bars", MOST_NOTES):
        edges = items(item, "edges of a bar", 2)
        require(len(edges) == 2, "a range of bars needs a beginning and an end")
        start, stop = (number(edge, "edge of a bar", 0, seconds) for edge in edges)
        found.append(TimeRange(start, stop))
    return joined(found)


def joined(found: Sequence[TimeRange]) -> tuple[TimeRange, ...]:
    """Join ranges of time that overlap or touch, in order."""
    merged: list[TimeRange] = []
    for each in sorted(found, key=lambda each: each.start):
        if merged and each.start <= merged[-1].stop:
            merged[-1] = TimeRange(merged[-1].start, max(merged[-1].stop, each.stop))
        else:
            merged.append(each)
    return tuple(merged)


def note_fields(line: Sequence[Note]) -> list[list[float]]:
    """Write notes as `notes` reads them."""
    return [[note.onset, note.duration, note.pitch, note.velocity] for note in line]
