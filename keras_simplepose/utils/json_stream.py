"""JSON files that are larger than memory: the entries of a list, one at a time."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from keras_simplepose.utils.errors import UserError


class NotStreamable(Exception):
    """The file is no JSON, or holds what JSON does not have, such as NaN; `files.read_json` knows or says more."""


def json_entries(path: str | os.PathLike, key: str) -> Iterator[Any]:
    """Yields the entries of a list that a file's table holds as `key`; nothing where it holds none.

    Numbers are int and float, as `files.read_json` gives them.

    Args:
        path: the file.
        key: of the list; a top-level one, without a full stop.

    Raises:
        UserError: the file is missing or unreadable.
        NotStreamable: it cannot be read so; entries may have been given already.
    """
    try:
        with open(Path(path), "rb") as file:
            yield from ijson.items(file, f"{key}.item", use_float=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ijson.JSONError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise NotStreamable(str(error)) from error
