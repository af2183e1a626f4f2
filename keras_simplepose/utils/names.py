"""Looking a name up in a table of what there is."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from keras_simplepose.utils.errors import UserError

Entry = TypeVar("Entry")

NEAREST = 3


def unknown(kind: str, name: str, known: Mapping[str, object]) -> UserError:
    """The error for a name that is not in a table, with the nearest names that are, or all where none is near.

    Args:
        kind: what the table holds, such as "backbone".
        name: that was asked for.
        known: the table.
    """
    nearest = difflib.get_close_matches(name.lower(), known, n=NEAREST, cutoff=0.3)
    if nearest and len(known) > NEAREST:
        return UserError(f"{kind} {name!r} is unknown; the nearest are {', '.join(nearest)}")
    return UserError(f"{kind} {name!r} is unknown; there is {', '.join(known)}")


def look_up(kind: str, name: str, known: Mapping[str, Entry]) -> Entry:
    """The entry of a table.

    Raises:
        UserError: there is none of that name; see `unknown`.
    """
    if name not in known:
        raise unknown(kind, name, known)
    return known[name]
