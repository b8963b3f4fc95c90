"""Commands of the command line, built with typer: how they share options, fail and stop."""

import codecs
import dataclasses
import errno
import inspect
import io
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from shared.atomic import says_full
from shared.errors import UserError, UserErrors

F = TypeVar("F")

LONGEST_SENTENCE = 2000  # letters; what the user gave may be a text of any length
_BAD_NAMES = (errno.ENAMETOOLONG, errno.ELOOP)
_NAMES = "names"  # how to print what the terminal's encoding lacks


class Commands(TyperGroup):
    """A group of commands that prints each mistake of the user as one sentence, with exit code 2.

    A full disk and a missing permission are such mistakes wherever they are met.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        _print_any_name()
        try:
            return super().invoke(ctx)
        except (UserError, OSError) as error:
            sentence = sentence_of(error)
            if sentence is None:
                raise
            for each in error.sentences if isinstance(error, UserErrors) else [sentence]:
                print(f"error: {one_line(each)}", file=sys.stderr)
            raise typer.Exit(2) from error


def sentence_of(error: UserError | OSError) -> str | None:
    """Say in a sentence what the user can solve; None for a defect of the program."""
    if isinstance(error, UserError):
        return str(error)
    place = "" if error.filename is None else f" {error.filename}"
    if isinstance(error, PermissionError):
        return f"there is no permission to read or write{place or ' a file'}: change it"
    if error.errno in _BAD_NAMES and error.filename is not None:
        return f"the file {error.filename} cannot exist ({error.strerror}): name another one"
    if says_full(error):
        where = f" for{place}" if place else ""
        return f"no space left on the disk{where}: free some space, or choose another place"
    return None


def one_line(text: str) -> str:
    """Return a text as one line that a terminal only shows: without control characters, and short.

    Names of files and values that the user gives may hold anything.
    """
    if len(text) > LONGEST_SENTENCE:
        half = LONGEST_SENTENCE // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _print_any_name() -> None:
    """Let names of files be printed as they are, and what the encoding lacks as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NAMES)


def _encode_name(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode bytes of a name that are not text as they were, and other letters as escapes."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(_NAMES, _encode_name)


class Command(TyperCommand):
    """A command that refuses repeated options, and says after Ctrl-C how to continue."""

    continues = False

    def __init__(self, *args: Any, help: str | None = None, **settings: Any) -> None:
        """Mark the examples, so that typer does not join their lines."""
        marked = help and help.replace("Examples:", "\b\nExamples:")
        super().__init__(*args, help=marked, **settings)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. Without the check, the last of several values would win."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for each in given:
            if given.count(each) > 1 and not getattr(each, "multiple", False):
                raise UserError(f"{each.opts[0]} is given more than once: give it once")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            print(f"stopped: {self._how_to_continue(ctx.params)}", file=sys.stderr)
            raise typer.Exit(130) from error

    def _how_to_continue(self, given: dict[str, Any]) -> str:
        if given.get("resume") == "never":
            return "run the same command with --resume auto to continue"
        if "resume" in given or self.continues:
            return "run the same command again to continue"
        return "the same command starts from the beginning when it is run again"


class ContinuingCommand(Command):
    """A command that leaves alone what an earlier run of it has already written."""

    continues = True


def command(
    group: typer.Typer, *, name: str | None = None, continues: bool = False
) -> Callable[[F], F]:
    """Make a function a command of a group, with one option for each of its parameters.

    A parameter whose type is a dataclass becomes one option for each field of the dataclass, so
    that commands can share options. `name` is the function's unless it is given. `continues` says
    that the command leaves alone what an earlier run of it has already written.
    """

    def add(function: F) -> F:
        cls = ContinuingCommand if continues else Command
        group.command(name, cls=cls)(_with_options(function))
        return function

    return add


def _with_options(function: Any) -> Callable[..., None]:
    """Return the function with the fields of dataclasses in place of the dataclasses."""
    parameters = inspect.signature(function).parameters.values()
    groups: dict[str, Any] = {
        p.name: p.annotation for p in parameters if dataclasses.is_dataclass(p.annotation)
    }

    def run(**given: Any) -> None:
        for name, cls in groups.items():
            fields = [field.name for field in dataclasses.fields(cls)]
            given[name] = cls(**{field: given.pop(field) for field in fields})
        function(**given)

    options = [option for parameter in parameters for option in _options(parameter)]
    # typer reads these attributes of a function.
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__annotations__ = {each.name: each.annotation for each in options}
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    return run


def _options(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """Return the parameter, or one for each field of the dataclass that it takes."""
    cls: Any = parameter.annotation
    is_group = dataclasses.is_dataclass(cls)
    fields = inspect.signature(cls).parameters.values() if is_group else [parameter]
    # Among keywords, a default may come before a parameter that has none.
    return [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in fields]


def option(help: str, *names: str, **settings: Any) -> Any:
    """Describe an option. Its name is the parameter's unless `names` are given."""
    return typer.Option(*names, help=help, **settings)


def repeated(help: str, *names: str, **settings: Any) -> Any:
    """Describe an option that may be given several times."""
    return option(f"{help} May be repeated.", *names, **settings)
