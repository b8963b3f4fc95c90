"""Whatever a command meets that the user can solve is one sentence and exit code 2."""

import errno
import pickle
import re

import pytest
import typer
from typer.testing import CliRunner

from shared.commands import Commands, command
from shared.errors import Refusals, UserError, UserErrors


def failing(error: Exception) -> typer.Typer:
    """A program whose command raises an error."""
    app = typer.Typer(cls=Commands)

    @app.callback()
    def main() -> None:
        """Be a group of commands."""

    def work() -> None:
        """Fail."""
        raise error

    command(app)(work)
    return app


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("what, where, what to do"), "what, where, what to do"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/a.wav"),
            "no space left on the disk for out/a.wav: free some space, or choose another place",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "no space left on the disk: free some space, or choose another place",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "locked"),
            "there is no permission to read or write locked: change it",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "xxx"),
            "the file xxx cannot exist (File name too long): name another one",
        ),
    ],
)
def test_what_the_user_can_solve_is_a_sentence(error: Exception, sentence: str) -> None:
    result = CliRunner().invoke(failing(error), ["work"])
    assert (result.exit_code, result.stderr) == (2, f"error: {sentence}\n")


def test_several_mistakes_are_a_line_each() -> None:
    """However many there are: only a single line is limited in length."""
    sentences = [f"song {number} is damaged\n" for number in range(500)]
    result = CliRunner().invoke(failing(UserErrors(sentences)), ["work"])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"error: song {number} is damaged\\n" for number in range(500)
    ]


def test_mistakes_are_collected() -> None:
    refusals = Refusals(["first"])
    with pytest.raises(UserError, match=r"^first$"):
        refusals.check("1 thing is wrong")
    with refusals.collecting():
        raise UserError("second")
    with pytest.raises(UserErrors, match=r"^first; second; 2 things are wrong$") as caught:
        refusals.check("2 things are wrong")
    copy = pickle.loads(pickle.dumps(caught.value))  # as it comes from another process
    assert copy.sentences == ("first", "second", "2 things are wrong")
    Refusals().check("nothing is wrong")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyError("a")])
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    result = CliRunner().invoke(failing(error), ["work"])
    assert result.exception is error
    assert not re.search("error:", result.stderr)
