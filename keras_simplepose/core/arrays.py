"""One text for NumPy and for tensors: geometry runs in worker processes, which never load TensorFlow, and in graphs."""

from typing import Any, TypeAlias

import numpy as np

# Keras has no types, so both are names for a reader; shapes stand in the docstrings.
Tensor: TypeAlias = Any  # A Keras tensor, in graphs TensorFlow's symbolic one.
Array: TypeAlias = Any  # A NumPy array or a tensor: one text for both.


def namespace(*arrays: Array) -> Any:
    """The functions to compute with: `numpy` if every argument is a NumPy array or number, else `keras.ops`."""
    if all(isinstance(array, np.ndarray | np.generic | float | int | list | tuple) for array in arrays):
        return np
    import keras

    return keras.ops
