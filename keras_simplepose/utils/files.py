"""Reading and writing files so that nothing half-written is ever found."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_simplepose.utils.errors import UserError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary sibling of `path` to write a file or folder to; renames it to `path` on success.

    The temporary name keeps the suffix, which tells writers such as Keras the format. On any exception it is removed
    and `path` stays as it was.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another place for it") from error
    temporary = folder / path.name
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another place"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_writable(folder: str | os.PathLike) -> None:
    """Makes a folder if need be and checks that files can be written to it, before long work whose result goes there.

    Raises:
        UserError: they cannot.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=Path(folder)):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}; choose another place") from error


def write_json(path: str | os.PathLike, value: Any, indent: int | None = 2) -> None:
    """Writes `value` as JSON to `path`, whole or not at all; NaN and infinity are refused."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file, with or without a byte-order mark.

    Raises:
        UserError: it is missing, unreadable or no JSON; the message names the file and, for a fault, the line.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file, so not JSON") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON at line {error.lineno} column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise UserError(f"{path}: its lists are nested too deeply to be data") from error
    except ValueError as error:  # Python reads no integer of more than 4,300 digits.
        raise UserError(f"{path}: holds an integer of thousands of digits, which no field has") from error


def file_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file, or of a folder's files and their relative names, as hexadecimal digits."""
    path = Path(path)
    digest = hashlib.sha256()
    for name in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if name.is_file():
            if path.is_dir():
                digest.update(str(name.relative_to(path)).encode())
            with open(name, "rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
