"""Checkpoints of a run: a file each, whole or not at all, with a checksum; the newest few and the best are kept.

A file is NumPy's .npz: an array for each variable, and a record as JSON. Keras's BackupAndRestore keeps one state of
weights and epoch, TensorFlow's Checkpoint several files and no record, Orbax would bring JAX along; none has a checksum
of the whole.
"""

import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, remove_leftovers

FOLDER = "checkpoints"
RECORD = "record"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A run at one moment.

    Attributes:
        step: optimiser steps done.
        record: what is no variable, as JSON knows it.
        arrays: the variables, in order.
    """

    step: int
    record: dict[str, Any]
    arrays: list[np.ndarray]


class CheckpointFolder:
    """The checkpoints in a run's folder."""

    def __init__(self, workdir: Path, keep: int = 1):
        """Takes the folder as it is; nothing is written yet.

        Args:
            workdir: of the run.
            keep: how many of the newest stay when another is saved.
        """
        self.folder, self.keep = workdir / FOLDER, keep

    def paths(self) -> list[Path]:
        """The files, the newest first."""
        return sorted(self.folder.glob("step-*.npz"), reverse=True)

    def save(self, checkpoint: Checkpoint, best_step: int | None) -> Path:
        """Writes a checkpoint to the disk itself, then removes those that are not to be kept.

        Args:
            checkpoint: to write; it replaces one of the same step.
            best_step: of the checkpoint to keep, however old.

        Raises:
            UserError: it cannot be written; those before it stay.
        """
        path = self.folder / f"step-{checkpoint.step:012d}.npz"
        write_checkpoint(path, checkpoint)
        best = None if best_step is None else f"step-{best_step:012d}.npz"
        for old in self.paths()[self.keep :]:
            if old.name != best:
                old.unlink(missing_ok=True)
        return path

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole, None in a new folder; and a line on each newer one that is not.

        Raises:
            UserError: there are checkpoints, and all are damaged.
        """
        faults: list[str] = []
        paths = self.paths()
        for path in paths:
            try:
                return read_checkpoint(path), faults
            except UserError as error:
                faults.append(str(error))
        if paths:
            raise UserError(f"{faults[0]}; none of the {len(paths)} checkpoints is whole: choose a new workdir")
        return None, []

    def clean(self) -> None:
        """Removes what runs that were killed while writing left."""
        remove_leftovers(self.folder)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, whole or not at all, and waits until the disk has it.

    Raises:
        UserError: the place cannot be written to, or is full.
    """
    record = checkpoint.record | {"format": FORMAT, "step": checkpoint.step}
    record["sha256"] = _digest(record, checkpoint.arrays)
    text = json.dumps(record).encode()
    names = (f"{number:05d}" for number in range(len(checkpoint.arrays)))
    with atomic_path(path, durable=True) as temporary:
        members = {RECORD: np.frombuffer(text, np.uint8)} | dict(zip(names, checkpoint.arrays, strict=True))
        np.savez(temporary, **members)


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint and proves it whole; takes no more memory than the file has bytes.

    Raises:
        UserError: it is missing, damaged, or of another version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = os.path.getsize(path)
            names = sorted(name for name in archive.namelist() if name != f"{RECORD}.npy")
            record = json.loads(_member(archive, f"{RECORD}.npy", size).tobytes())
            arrays = [_member(archive, name, size) for name in names]
        digest = record.pop("sha256")
        version, step = record.get("format"), int(record["step"])
        if version == FORMAT and digest != _digest(record, arrays):
            raise ValueError("its checksum does not fit its content")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such checkpoint") from error
    # zipfile raises NotImplementedError and RuntimeError for flags that damage has set.
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, RuntimeError) as error:
        raise UserError(f"{path}: is damaged ({str(error)[:100]})") from error
    if version != FORMAT:
        raise UserError(f"{path}: is a checkpoint of format {version!r}; this version reads {FORMAT}")
    return Checkpoint(step, record, arrays)


def _member(archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    """One array; its sizes are believed only as far as the file is long."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
        raise ValueError(f"{name} states sizes that cannot be")
    stream = io.BytesIO(archive.read(entry))
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} is no array")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds objects")
    flat = np.frombuffer(stream.getbuffer(), dtype, math.prod(shape), stream.tell())
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _digest(record: dict[str, Any], arrays: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
