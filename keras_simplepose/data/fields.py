"""Values out of a JSON file, checked: what a file holds may be anything, and a fault is said in one short line."""

import os
from collections.abc import Mapping
from typing import Any

from keras_simplepose.core.boxes import LARGEST
from keras_simplepose.data.persons import Box
from keras_simplepose.utils.errors import UserError, shown

_LARGEST_FLOAT_ID = 2**53  # Up to here a float is exactly the integer it was written for.


def get(entry: Mapping[str, Any], key: str, where: str) -> Any:
    """A value that must be there.

    Raises:
        UserError: it is not.
    """
    try:
        return entry[key]
    except KeyError as error:
        raise UserError(f"{where} lacks {key!r}") from error


def number(value: Any, name: str, where: str, largest: float = LARGEST) -> float:
    """A finite number of at most `largest` either way.

    Raises:
        UserError: it is none.
    """
    if isinstance(value, str):
        raise UserError(f"{where}: {name} is {shown(value)}, which is text; it must be a number")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise UserError(f"{where}: {name} is {shown(value)}; it must be a finite number")
    if not -largest <= value <= largest:
        raise UserError(f"{where}: {name} is {shown(value)}; it must be a finite number of at most {largest:g}")
    return float(value)


def identifier(value: Any, name: str, where: str) -> int:
    """An integer that names something; 7.0 is 7.

    Raises:
        UserError: it is none.
    """
    if isinstance(value, str):
        raise UserError(f"{where}: {name} is {shown(value)}, which is text; it must be an integer, without quotes")
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_FLOAT_ID:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{where}: {name} is {shown(value)}; it must be an integer")
    return value


def entry_id(entry: Any, kind: str, path: Any) -> int:
    """The id of an entry of a list, once the entry is known to be a table.

    Raises:
        UserError: it is none, or has no id.
    """
    where = f"{path}: an {kind}"
    if not isinstance(entry, dict):
        raise UserError(f"{where} is {shown(entry)} where a table is expected")
    return identifier(get(entry, "id", where), "id", where)


def box_of(value: Any, where: str) -> Box:
    """A box [x, y, width, height] in pixels.

    Raises:
        UserError: it is none.
    """
    if not isinstance(value, list) or len(value) != 4:
        raise UserError(f"{where}: bbox is {shown(value)}; it must be [x, y, width, height]")
    x, y, width, height = (number(side, "bbox", where) for side in value)
    if width < 0 or height < 0:
        raise UserError(f"{where}: bbox {shown(value)} has a negative size")
    return x, y, width, height


def file_name_of(value: Any, name: str, where: str) -> str:
    """The name of a file.

    Raises:
        UserError: it can be none.
    """
    possible = isinstance(value, str) and value != "" and "\0" not in value
    if possible:
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            possible = False
    if not possible:
        raise UserError(f"{where}: {name} is {shown(value)}; it must be the name of a file")
    return value
