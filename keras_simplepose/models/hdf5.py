"""HDF5, the format of Keras's weights: how much a file holds, and whether it is all in it."""

from pathlib import Path
from typing import Any

import h5py

from keras_simplepose.utils.archives import check_size
from keras_simplepose.utils.errors import UserError, shown


def check_weights_file(path: Path) -> None:
    """Refuses an HDF5 file of weights that asks for far more memory than it is long, or reads other files.

    A file that is none is left to Keras, which says so.

    Raises:
        UserError: naming the file.
    """
    try:
        with h5py.File(path) as file:
            held = count_numbers(file)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, RecursionError):
        return
    check_size(path, held * 2, "its weights would unpack")


def count_numbers(group: Any) -> int:
    """The numbers in all data sets of an HDF5 file, which links and external storage may not lead out of.

    Raises:
        UserError: they do.
    """
    sizes: list[int] = []
    faults: list[str] = []  # Raised afterwards: HDF5 loses an exception on its way through.

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size or 0)
            faults.extend([f"its data set {shown(name)} lies in another file"] if item.external else [])

    def look(name: str, link: Any) -> None:
        faults.extend(
            [f"its entry {shown(name)} is a link to another file"] if isinstance(link, h5py.ExternalLink) else []
        )

    group.visititems(add)
    group.visititems_links(look)
    if faults:
        raise UserError(faults[0])
    return sum(map(int, sizes))
