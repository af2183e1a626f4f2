"""One text for NumPy and for tensors: geometry runs in worker processes, which never load TensorFlow, and in graphs."""

from typing import Any

import numpy as np


def namespace(*arrays: Any) -> Any:
    """The functions to compute with: `numpy` if every argument is a NumPy array or number, else `keras.ops`."""
    if all(isinstance(array, np.ndarray | np.generic | float | int | list | tuple) for array in arrays):
        return np
    import keras

    return keras.ops
