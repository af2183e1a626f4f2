"""Files of weights from strangers: bounded before they are unpacked."""

import zipfile
from pathlib import Path

from keras_simplepose.utils.errors import UserError

# Trained weights shrink to no less than half; constant ones, as a new model has some, to a little.
LARGEST_RATIO, FREE_BYTES = 20, 1 << 24


def most_bytes(path: Path) -> int:
    """The most that a file of weights may unpack to."""
    return LARGEST_RATIO * path.stat().st_size + FREE_BYTES


def check_size(path: Path, size: int, what: str = "") -> None:
    """Refuses so many unpacked bytes of a file.

    Raises:
        UserError: they are more than `most_bytes`.
    """
    if size > (most := most_bytes(path)):
        raise UserError(
            f"{path}: {what or 'would unpack'} to more than {most >> 20} MiB, which no model of its size does"
        )


def check_archive(path: Path) -> None:
    """Refuses a zip archive (.keras, .npz, PyTorch's) whose members would unpack to far more than it is.

    Its directory is believed: a member that is longer than stated there ends in an error of who reads it. What is no
    archive is left to them as well.

    Raises:
        UserError: naming the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return
    check_size(path, size)
