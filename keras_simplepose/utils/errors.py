"""The one exception a user's mistake ends in."""


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
