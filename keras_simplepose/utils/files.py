"""Reading and writing files so that nothing half-written is ever found."""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from keras_simplepose.utils.errors import UserError

# In every folder that results go to: a JSON line for each file made there, {name, sha256, source}; the last one counts.
MADE_HERE = ".keras_simplepose"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary sibling of `path` to write a file or folder to; renames it to `path` on success.

    The temporary name keeps the suffix, which tells writers such as Keras the format. On any exception it is removed
    and `path` stays as it was.

    Args:
        path: of the file or folder.
        durable: for a file: wait until the disk has it, so that losing power does not lose it either.

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
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable and os.name == "posix":
            _flush(path.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another place"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    """Waits until the disk has a file, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: str | os.PathLike, names: Iterable[str] = ()) -> None:
    """Removes the temporary folders that `atomic_path` could not, its process having been killed.

    Call it only where no other process writes.

    Args:
        folder: to look in; it need not exist.
        names: of the files whose temporary folders may go; none: all.
    """
    stems = {Path(name).stem for name in names}
    for path in Path(folder).glob(".*-????????"):
        stem = path.name[1:-9]
        if path.is_dir() and not path.is_symlink() and (stem in stems or not stems):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def result_path(path: str | os.PathLike, source: str = "") -> Iterator[Path]:
    """As `atomic_path` for a file or folder of results, and keeps in the folder's record that it was made here.

    `check_outputs` lets a later run replace what is in that record, and nothing else.

    Args:
        path: of the result.
        source: what it is made from, if a result of something else must not replace it.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        yield temporary
        # Before the file appears: a line too many does no harm, a file without a line could not be replaced.
        _record(path, file_hash(temporary), source)


class ResultFiles:
    """Results written as they come: a context, whose files appear when it is left without an error.

    A class of its kind opens its files in `_begin`, the finished places by `result_path`, and ends them in `_end`.
    """

    def __init__(self) -> None:
        """Opens nothing yet."""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Begins to write.

        Raises:
            UserError: the folder cannot be written to.
        """
        with contextlib.ExitStack() as stack:
            self._begin(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the files, or removes them after an error."""
        if error is None:
            self._end()
        self._stack.__exit__(kind, error, trace)

    def _begin(self, stack: contextlib.ExitStack) -> None:
        """Opens the files, what closes them entered into the stack."""
        raise NotImplementedError

    def _end(self) -> None:
        """Writes what is last in them."""
        raise NotImplementedError


def record_results(*paths: str | os.PathLike) -> None:
    """Keeps in their folders' records that files or folders were made here, as `result_path` does."""
    for path in map(Path, paths):
        _record(path, file_hash(path), "")


def _record(path: Path, digest: str, source: str) -> None:
    entry = {"name": path.name, "sha256": digest, "source": source}
    with open(path.parent / MADE_HERE, "a", encoding="ascii") as record:
        record.write(json.dumps(entry) + "\n")


def check_outputs(
    outputs: Iterable[str | os.PathLike],
    inputs: Iterable[str | os.PathLike] = (),
    source: str = "",
    is_own: bool = False,
) -> None:
    """Refuses to write over an input, or over a file that is not a result of an earlier run; call it before any work.

    Paths are compared as the file system does, through links, other spellings and folders that ignore case.

    Args:
        outputs: the files or folders that are going to be written.
        inputs: the files that are going to be read.
        source: what the results are made from; those made from something else are not replaced.
        is_own: the outputs are known to be this command's; only the inputs are looked at.

    Raises:
        UserError: an output is an input, was not made here or has been changed since, or is of another source.
    """
    given = [Path(path) for path in inputs if str(path)]
    records: dict[Path, dict[str, dict[str, str]]] = {}
    for output in map(Path, outputs):
        if not os.path.lexists(output):
            continue
        for path in given:
            if path.exists() and output.exists() and _is_within(path, output):
                raise UserError(
                    f"{output}: is an input of this command and would be written over; choose another output"
                )
        if is_own:
            continue
        folder = output.parent
        if folder not in records:
            records[folder] = _made_in(folder)
        entry = records[folder].get(output.name)
        if entry is None or not output.exists() or file_hash(output) != entry["sha256"]:
            raise UserError(
                f"{output}: is there already and was not made by this command, or was changed since; "
                "move it, or choose another output"
            )
        if source and entry["source"] != source:
            raise UserError(f"{output}: holds the results of {entry['source'] or 'another run'}; choose another output")


def _is_within(path: Path, output: Path) -> bool:
    """Whether a path that exists is another one, or below it."""
    if output.is_dir():
        return any(each.exists() and each.samefile(output) for each in (path.resolve(), *path.resolve().parents))
    return path.samefile(output)


def _made_in(folder: Path) -> dict[str, dict[str, str]]:
    """The record of what was made in a folder, by name; lines that are none are passed over."""
    made: dict[str, dict[str, str]] = {}
    try:
        lines = (folder / MADE_HERE).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return made
    for line in lines:
        try:
            entry = json.loads(line)
            made[entry["name"]] = {"sha256": str(entry["sha256"]), "source": str(entry.get("source", ""))}
        except (ValueError, TypeError, KeyError):
            continue  # Half a line of a run that was killed; the file it was about is then not known as made here.
    return made


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
        temporary.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")


def refuse_pipe(path: str | os.PathLike) -> None:
    """Refuses a pipe or a device before it is opened: it can be read once only, and reading could wait for ever.

    Raises:
        UserError: naming it; what does not exist is left to whoever reads it.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UserError(f"{path}: is a pipe or a device, not a file; write what it gives to a file")


def read_text(path: str | os.PathLike) -> str:
    """Reads a UTF-8 text file, with or without a byte-order mark.

    Raises:
        UserError: it is missing, unreadable, a pipe or no text.
    """
    refuse_pipe(path)
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file") from error


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file, with or without a byte-order mark.

    Raises:
        UserError: it is missing, unreadable or no JSON; the message names the file and, for a fault, the line.
    """
    try:
        return json.loads(read_text(path))
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
                digest.update(os.fsencode(name.relative_to(path)))
            with open(name, "rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
