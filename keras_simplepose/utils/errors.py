"""The one exception a user's mistake ends in, and values as its message shows them."""

import reprlib
from typing import Any


class UserError(Exception):
    """A mistake a user can mend: the message says what is wrong, where, and what to do, in one line.

    Commands print it as ``error: …`` and leave with status 1; library callers can catch it.

    Example:
        >>> from keras_simplepose import UserError, load_skeleton
        >>> try:
        ...     load_skeleton("coco71")
        ... except UserError as error:
        ...     print("coco71" in str(error))
        True
    """


def shown(value: Any) -> str:
    """A value as an error shows it: on one line and short, however large or deep it is."""
    text = reprlib.repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
