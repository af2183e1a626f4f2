"""JSON files that are larger than memory: the entries of a list, one at a time."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import numpy as np

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import refuse_pipe

DEEPEST = 100  # Lists and tables in one another; annotations have six. ijson's memory grows with the square of it.

_OPENING = np.frombuffer(b"[{", np.uint8)
_BRACKETS = np.frombuffer(b"[{]}", np.uint8)


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
    refuse_pipe(path)
    try:
        with open(Path(path), "rb") as file:
            yield from ijson.items(_Shallow(file), f"{key}.item", use_float=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (ijson.JSONError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise NotStreamable(str(error)) from error


class _Shallow:
    """A file that stops being read where its lists and tables are nested too deeply."""

    def __init__(self, file: BinaryIO):
        self._file, self._level, self._lowest, self._is_checked = file, 0, 0, False

    def read(self, count: int = -1) -> bytes:
        content = self._file.read(count)
        if self._is_checked:
            return content
        characters = np.frombuffer(content, np.uint8)
        brackets = characters[np.isin(characters, _BRACKETS)]
        if brackets.size:
            levels = self._level + np.cumsum(np.where(np.isin(brackets, _OPENING), 1, -1))
            lowest = np.minimum(self._lowest, np.minimum.accumulate(levels))
            self._level, self._lowest = int(levels[-1]), int(lowest[-1])
            if (levels - lowest).max() > DEEPEST:  # Unless brackets are in strings, which only a parser tells.
                self._check()
        return content

    def _check(self) -> None:
        place, depth = self._file.tell(), 0
        self._file.seek(0)
        for event, _ in ijson.basic_parse(self._file):
            depth += event.startswith("start_") - event.startswith("end_")
            if depth > DEEPEST:
                raise NotStreamable(f"lists nested more than {DEEPEST} deep")
        self._file.seek(place)
        self._is_checked = True
