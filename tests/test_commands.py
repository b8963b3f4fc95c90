"""Whatever a command meets that the user can solve is one sentence and exit code 2."""

import errno
import re

import pytest
import typer
from typer.testing import CliRunner

from shared.commands import Commands, command
from shared.errors import UserError


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


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyError("a")])
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    result = CliRunner().invoke(failing(error), ["work"])
    assert result.exception is error
    assert not re.search("error:", result.stderr)
