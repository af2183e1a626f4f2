"""Model files of half the size: weights are stored as float16 and are float32 again in whatever reads them."""

import io
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path

_WEIGHTS = "model.weights.h5"  # Keras's name for the member of a .keras file.


def save_compact_model(model: keras.Model, path: str | Path) -> None:
    """Saves a network as a .keras file with weights in float16, whole or not at all.

    It is an ordinary model file: Keras converts the stored numbers to the variables' own type. Each weight is rounded
    to 11 significant bits.

    Args:
        model: to save; untouched.
        path: of the file, ending in .keras.

    Raises:
        UserError: a weight is too large for float16 or not finite, or the place cannot be written to.
    """
    with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary:
        whole = Path(folder) / "whole.keras"
        model.save(whole)
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                content = source.read(name)
                target.writestr(name, _halved(content, str(path)) if name == _WEIGHTS else content)


def _halved(content: bytes, path: str) -> bytes:
    """An HDF5 file with its floating-point data sets in float16; groups, names and attributes stay."""
    halved = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as source, h5py.File(halved, "w") as target:
        target.attrs.update(source.attrs)

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                there = target.require_group(name)
            else:
                there = target.create_dataset(name, data=_half(item[()], name, path))
            there.attrs.update(item.attrs)

        source.visititems(copy)
    return halved.getvalue()


def _half(value: np.ndarray, name: str, path: str) -> np.ndarray:
    if np.asarray(value).dtype.kind != "f":
        return value
    with np.errstate(over="ignore"):
        half = np.asarray(value, np.float16)
    if not np.all(np.isfinite(half)):
        raise UserError(f"{path}: weight {name} has values that float16 cannot hold")
    return half
