"""Go on with other songs after one that fails, and say at the end which ones failed and why."""

import traceback
from dataclasses import dataclass

from shared.atomic import NoSpaceError, says_full
from shared.commands import one_line, sentence_of
from shared.errors import UserError


@dataclass(frozen=True)
class Dropped:
    """A song that was not written.

    Attributes:
        name: its file, name or number.
        reason: why, as a sentence.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        """Say it in one line, whatever the name holds."""
        return one_line(f"{self.name}: {self.reason}")


def reason_of(error: Exception) -> str:
    """Say in a sentence why a song failed that others follow.

    The traceback of a defect of the program is printed.

    Raises:
        UserError: the disk is full, so that the others would fail as well.
        OSError: the same.
    """
    if isinstance(error, NoSpaceError) or says_full(error):
        raise error
    sentence = sentence_of(error) if isinstance(error, UserError | OSError) else None
    if sentence is None:
        traceback.print_exception(error)
        sentence = f"a defect of the program ({type(error).__name__}, shown above)"
    return sentence
