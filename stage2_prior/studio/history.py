"""What a session holds at a moment, and the moments before it, so that every action is undoable.

Takes and their sound are never changed or deleted while their session lasts. A state only names
them, so that going back is choosing another state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shared.errors import require
from shared.music.notes import Note
from shared.times import TimeRange
from stage2_prior.studio.json_values import (
    items,
    note_fields,
    notes,
    number,
    ranges,
    whole_number,
)
from stage2_prior.studio.options import TakeOptions

LEVELS_DB = (-24.0, 12.0)
LONGEST_HISTORY = 100  # states


@dataclass(frozen=True)
class State:
    """What a session holds at a moment.

    Attributes:
        takes: the numbers of the takes that are shown, in order.
        current: the take that is heard, or None.
        level: what the level of the bass is changed by, in dB.
        options: how the next take will be composed and performed.
        draft: notes that were edited but not yet performed; None where none were.
        marked: the ranges of time that were marked to be written anew.
    """

    takes: tuple[int, ...] = ()
    current: int | None = None
    level: float = 0.0
    options: TakeOptions = field(default_factory=TakeOptions)
    draft: tuple[Note, ...] | None = None
    marked: tuple[TimeRange, ...] = ()

    @classmethod
    def read(cls, values: Mapping[str, Any], known: Collection[int], seconds: float) -> State:
        """Read a state in which a page has changed something.

        Args:
            values: the fields of the state, as `as_json` writes them.
            known: the numbers of all takes of the session.
            seconds: the length of the song.

        Raises:
            UserError: there is no such field, or it has a value that it cannot have.
        """
        unknown = set(values) - set(cls().as_json())
        require(not unknown, "the page sent fields that do not exist: reload it")
        most = max(known, default=0)
        shown = [
            whole_number(each, "take", 0, most) for each in items(values["takes"], "takes", 10_000)
        ]
        current = values["current"]
        require(current is None or current in shown, "the chosen take is not among those shown")
        require(set(shown) <= set(known), "there is no such take: reload the page")
        require(isinstance(values["options"], dict), "the options must be a JSON object")
        draft = values["draft"]
        return cls(
            tuple(dict.fromkeys(shown)),
            current,
            number(values["level"], "level", *LEVELS_DB),
            TakeOptions.read(values["options"]),
            None if draft is None else notes(draft, seconds),
            ranges(values["marked"], seconds),
        )

    def with_take(self, take: int, performs_draft: bool) -> State:
        """Show a new take, and hear it.

        While notes are being edited, a take that is not of these notes only appears in the list.

        Args:
            take: the number of the take.
            performs_draft: whether it performs edited notes.
        """
        shown = (*self.takes, take)
        if self.draft is not None and not performs_draft:
            return replace(self, takes=shown)
        return replace(self, takes=shown, current=take, draft=None)

    def as_json(self) -> dict[str, Any]:
        """Write the state as `read` reads it."""
        return {
            "takes": list(self.takes),
            "current": self.current,
            "level": self.level,
            "options": asdict(self.options),
            "draft": None if self.draft is None else note_fields(self.draft),
            "marked": [[each.start, each.stop] for each in self.marked],
        }


@dataclass(frozen=True)
class Moment:
    """A state, and the action that led to it.

    Attributes:
        action: what was done, such as "move a note".
        state: what the session holds since then, as `State.as_json` writes it.
    """

    action: str
    state: dict[str, Any]


@dataclass(frozen=True)
class History:
    """The states of a session in order, and which of them holds now.

    Attributes:
        moments: the states, at least one.
        now: the index of the state that holds.
    """

    moments: tuple[Moment, ...] = (Moment("open the song", State().as_json()),)
    now: int = 0

    @property
    def state(self) -> dict[str, Any]:
        """The state that holds, as `State.as_json` writes it."""
        return self.moments[self.now].state

    @property
    def undoable(self) -> str | None:
        """The action that `undo` takes back; None where there is none."""
        return self.moments[self.now].action if self.now > 0 else None

    @property
    def redoable(self) -> str | None:
        """The action that `redo` repeats; None where there is none."""
        later = self.moments[self.now + 1 :]
        return later[0].action if later else None

    def after(self, action: str, state: State) -> History:
        """Return the history after an action. What was undone before it is forgotten."""
        moments = (*self.moments[: self.now + 1], Moment(action, state.as_json()))[
            -LONGEST_HISTORY:
        ]
        return History(moments, len(moments) - 1)

    def undo(self) -> History:
        """Go one state back.

        Raises:
            UserError: this is the first one.
        """
        require(self.undoable is not None, "there is nothing to undo")
        return replace(self, now=self.now - 1)

    def redo(self) -> History:
        """Go one state forward.

        Raises:
            UserError: nothing was undone.
        """
        require(self.redoable is not None, "there is nothing to do again")
        return replace(self, now=self.now + 1)

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> History:
        """Read what `as_json` wrote."""
        moments = tuple(Moment(each["action"], each["state"]) for each in values["moments"])
        return cls(moments, values["now"])

    def as_json(self) -> dict[str, Any]:
        """Write the history as `of_json` reads it."""
        return asdict(self)
