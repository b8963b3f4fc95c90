"""The one exception that reaches a user as a sentence instead of a traceback."""


class UserError(Exception):
    """A mistake the user can mend. The message says what is wrong, where, and what to do."""


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds: the range checks of configuration classes."""
    if not condition:
        raise UserError(message)
