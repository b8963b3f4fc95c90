"""Define the exceptions that reach a user as sentences instead of a traceback."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """This error is a mistake that the user can correct.

    The message says what is wrong, where, and what to do.
    """


class UserErrors(UserError):
    """These are several such mistakes at once, each of which is said in a line of its own.

    Attributes:
        sentences: what is wrong, and at last what follows from it.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        """Join sentences."""
        super().__init__(tuple(sentences))
        self.sentences = tuple(sentences)

    def __str__(self) -> str:
        """Return all sentences."""
        return "; ".join(self.sentences)


class Refusals:
    """Collects mistakes in parts of a whole, so that the user hears of all of them at once.

    Attributes:
        sentences: what is wrong.
    """

    def __init__(self, sentences: Sequence[str] = ()) -> None:
        """Begin with what is known to be wrong."""
        self.sentences = [*sentences]

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note a mistake that ends the body, and go on after it."""
        try:
            yield
        except UserError as error:
            self.sentences.append(str(error))

    def check(self, conclusion: str) -> None:
        """Say what is wrong, and where it is more than one thing, also a conclusion.

        Raises:
            UserError: anything is wrong.
        """
        if len(self.sentences) == 1:
            raise UserError(self.sentences[0])
        if self.sentences:
            raise UserErrors([*self.sentences, conclusion])


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
