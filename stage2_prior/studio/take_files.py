"""A take on the disk: its sound, its codes, and what is known of it.

A take appears whole or not at all, and is never changed.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.json_files import jsonable, write_json
from shared.music.chord import Chord
from shared.music.notes import Note
from shared.times import TimeRange
from stage2_prior.studio.json_values import note_fields
from stage2_prior.studio.options import TakeOptions
from stage2_prior.studio.song_facts import chords_for_page

BASS_FILE, CODES_FILE, _FACTS_FILE = "bass.wav", "line.npz", "take.json"
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class TakeFacts:
    """What is known of a take.

    Attributes:
        number: its number in the session, from 1 on, which also seeds it.
        parent: the take that it was made of; None for a new line.
        ranges: the ranges of time that differ from its parent; none for a new line.
        edited: whether its notes were edited by hand.
        options: how it was composed and performed.
        notes: its notes.
        chords: the chords that it plays to.
        key: the key of these chords; None where it is not known.
        fit: how well it fits what is heard in the song, in nats; None for edited notes.
        right_share: the share of the time of its notes in which they are heard; None where nobody
            listened.
        level: its level in dB relative to the song; None where one is silent.
        seconds: how long it took to make.
    """

    number: int
    parent: int | None
    ranges: tuple[TimeRange, ...]
    edited: bool
    options: TakeOptions
    notes: tuple[Note, ...]
    chords: tuple[Chord, ...]
    key: str | None
    fit: float | None
    right_share: float | None
    level: float | None
    seconds: float

    def save(self, folder: Path) -> None:
        """Write the facts into the folder of the take."""
        write_json(folder / _FACTS_FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> TakeFacts:
        """Read what `save` wrote."""
        content: dict[str, Any] = json.loads((folder / _FACTS_FILE).read_text(encoding="utf-8"))
        return cls(
            **content
            | {
                "ranges": tuple(TimeRange(**each) for each in content["ranges"]),
                "options": TakeOptions(**content["options"]),
                "notes": tuple(Note(**each) for each in content["notes"]),
                "chords": tuple(Chord(**each) for each in content["chords"]),
            }
        )

    def for_page(self) -> dict[str, Any]:
        """Return what a page shows of the take. Times are in seconds."""
        return {
            "number": self.number,
            "parent": self.parent,
            "ranges": [[each.start, each.stop] for each in self.ranges],
            "edited": self.edited,
            "options": asdict(self.options),
            "notes": note_fields(self.notes),
            "chords": chords_for_page(self.chords),
            "fit": jsonable(self.fit),
            "rightShare": jsonable(self.right_share),
            "level": self.level,
            "seconds": self.seconds,
        }


def take_folder(session: Path, number: int) -> Path:
    """Return the folder of a take of a session."""
    return session / "takes" / str(number)


def take_numbers(session: Path) -> list[int]:
    """Return the numbers of the finished takes of a session, in order."""
    folder = session / "takes"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


@contextmanager
def new_take(session: Path, number: int) -> Iterator[Path]:
    """Yield a folder that becomes the take `number` if the body succeeds.

    What a worker that was ended has left of takes is removed. There is one worker only.
    """
    final = take_folder(session, number)
    for left in final.parent.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = final.with_name(f"{_UNFINISHED}{secrets.token_hex(4)}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
