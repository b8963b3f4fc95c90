"""Define the one exception that reaches a user as a sentence instead of a traceback."""


class UserError(Exception):
    """This error is a mistake that the user can correct.

    The message says what is wrong, where, and what to do.
    """


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
