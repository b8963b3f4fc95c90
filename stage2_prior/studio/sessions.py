"""Sessions on the disk: a folder for each user, and in it a folder for each song.

    FOLDER/USER/SESSION/session.json   the name of the song, and the history of the session
                        song.json      what is known of the song (song_facts.py)
                        original.wav   the song; backing.wav: without its bass
                        codes.npz      the codes of the accompaniment
                        takes/NUMBER/  a take (take_files.py)

The names of users and sessions cannot be guessed: who knows the name of a user is that user.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.atomic import atomic_path
from shared.errors import UserError, require
from shared.json_files import write_json
from stage2_prior.studio.history import History, State
from stage2_prior.studio.song_facts import FACTS_FILE, SongFacts
from stage2_prior.studio.take_files import TakeFacts, take_folder, take_numbers

MOST_SESSIONS = 100  # of a user
LONGEST_NAME = 80  # letters
_NAME = re.compile(r"[A-Za-z0-9_-]{20,64}", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")
_SESSION_FILE = "session.json"


class Store:
    """The users of a folder."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, which only its owner can read, and remove songs that were not opened."""
        self._folder = folder.resolve()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.glob(f"*/*/{_SESSION_FILE}"):
            session = Session(path.parent)
            if _NAME.fullmatch(session.name) and not session.is_open:
                session.remove()

    def without_paths(self, text: str) -> str:
        """Return a text in which no path within the folder can be read."""
        return re.sub(rf"{re.escape(str(self._folder))}\S*", "the folder of the page", text)

    def find_user(self, name: str | None) -> User | None:
        """Return the user of this name; None where there is none."""
        if name is None or _NAME.fullmatch(name) is None or not (self._folder / name).is_dir():
            return None
        return User(self._folder / name)

    def new_user(self) -> User:
        """Make a user."""
        user = User(self._folder / secrets.token_urlsafe(32))
        user.folder.mkdir(mode=0o700)
        return user


@dataclass(frozen=True)
class User:
    """A user.

    Attributes:
        folder: the user's folder, whose name is the user's name.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The unguessable name."""
        return self.folder.name

    def sessions(self) -> list[Session]:
        """Return the sessions whose song was opened, the newest first."""
        found = [Session(path) for path in self.folder.iterdir() if path.is_dir()]
        return sorted(
            (session for session in found if session.is_open),
            key=lambda session: session.read()["created"],
            reverse=True,
        )

    def find_session(self, name: str) -> Session:
        """Return a session.

        Raises:
            UserError: this user has no such session.
        """
        session = Session(self.folder / name)
        known = _NAME.fullmatch(name) is not None and (session.folder / _SESSION_FILE).is_file()
        require(known, "there is no such song: it was removed, or it belongs to somebody else")
        return session

    def new_session(self, song: str) -> Session:
        """Make a session for a song of this file name.

        Raises:
            UserError: the user has too many.
        """
        count = sum(path.is_dir() for path in self.folder.iterdir())
        require(count < MOST_SESSIONS, f"there are {count} songs already: remove one first")
        session = Session(self.folder / secrets.token_urlsafe(16))
        session.folder.mkdir(mode=0o700)
        session.write({"name": tidy_name(song), "created": time.time(), "next": 1})
        return session


@dataclass(frozen=True)
class Session:
    """A song, its takes, and what was done with them.

    Attributes:
        folder: the folder of the session, whose name is the session's name.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The unguessable name."""
        return self.folder.name

    @property
    def is_open(self) -> bool:
        """Whether the song was opened."""
        return (self.folder / FACTS_FILE).is_file()

    @property
    def song(self) -> str:
        """The name of the song."""
        return str(self.read()["name"])

    @property
    def facts(self) -> SongFacts:
        """What is known of the song.

        Raises:
            UserError: it is not open yet.
        """
        require(self.is_open, "the song is not open yet: wait a moment")
        return SongFacts.load(self.folder)

    @property
    def history(self) -> History:
        """What was done."""
        stored = self.read().get("history")
        return History() if stored is None else History.of_json(stored)

    @property
    def state(self) -> State:
        """What it holds now."""
        return self.changed({})

    def changed(self, changes: Mapping[str, Any]) -> State:
        """Return what it would hold after a page has changed some fields of its state.

        Raises:
            UserError: they do not fit the song, or name a take that does not exist.
        """
        values = self.history.state | dict(changes)
        return State.read(values, take_numbers(self.folder), self.facts.seconds)

    def take(self, number: int) -> TakeFacts:
        """Return what is known of a take.

        Raises:
            UserError: there is no such take.
        """
        require(number in take_numbers(self.folder), f"there is no take {number}")
        return TakeFacts.load(take_folder(self.folder, number))

    def next_take(self) -> int:
        """Return a number that no take has had."""
        stored = self.read()
        number = int(stored["next"])
        self.write(stored | {"next": number + 1})
        return number

    def change(self, history: History) -> None:
        """Store what was done."""
        self.write(self.read() | {"history": history.as_json()})

    def act(self, action: str, state: State) -> None:
        """Store an action, and the state that it led to."""
        self.change(self.history.after(action, state))

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def for_page(self) -> dict[str, Any]:
        """Return all that a page shows."""
        history = self.history
        return {
            "id": self.name,
            "name": self.song,
            "song": self.facts.for_page(),
            "takes": [self.take(number).for_page() for number in history.state["takes"]],
            "state": history.state,
            "undo": history.undoable,
            "redo": history.redoable,
        }

    def read(self) -> dict[str, Any]:
        """Return the content of session.json.

        Raises:
            UserError: the session was removed.
        """
        try:
            text = (self.folder / _SESSION_FILE).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UserError("there is no such song any more") from error
        return dict(json.loads(text))

    def write(self, content: dict[str, Any]) -> None:
        """Replace the content of session.json."""
        with atomic_path(self.folder / _SESSION_FILE) as temporary:
            write_json(temporary, content)


def tidy_name(file: str) -> str:
    """Return the name of a song for people and for files: the file's name without its ending."""
    last = re.split(r"[/\\]", file)[-1]
    stem = Path(last).stem.removesuffix(".stem") if last else ""
    words = _UNPRINTABLE.sub(" ", stem).split()
    return " ".join(words).strip(" .")[:LONGEST_NAME] or "song"
