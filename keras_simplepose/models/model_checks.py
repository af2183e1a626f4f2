"""Whether a .keras file may be unpacked, and whether its network is what its specification says."""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from keras_simplepose.core.centers import CHANNELS
from keras_simplepose.models.hdf5 import count_numbers
from keras_simplepose.models.person_detector import detector_spec
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.models.visibility import visibility_head
from keras_simplepose.utils.archives import FREE_BYTES, check_archive, check_size
from keras_simplepose.utils.errors import UserError

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"  # Keras's names for the members of a .keras file.
# Kernels of these layers, all the large ones there are: the options that say how many numbers one has.
_SIZED = ("filters", "units")


def check_model_archive(path: Path) -> None:
    """Refuses a .keras file that would unpack to far more than it is, or asks for weights that it does not hold.

    A file that is no archive is left to Keras, which says so.

    Raises:
        UserError: naming the file.
    """
    if not zipfile.is_zipfile(path):
        return
    check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            config, weights = json.loads(archive.read(_CONFIG)), archive.read(_WEIGHTS)
        with h5py.File(io.BytesIO(weights)) as file:
            held = count_numbers(file)
        asked = _asked(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, RecursionError, zipfile.BadZipFile):
        return  # Damaged; Keras says how.
    check_size(path, held * 2, "its weights would unpack")  # In float16, of two bytes.
    if asked > held + FREE_BYTES:
        raise UserError(f"{path}: its layers ask for {asked:,} weights, the file holds {held:,}")


def _asked(config: Any) -> int:
    """The weights that the kernels of a model's layers have, as far as its configuration tells."""
    if isinstance(config, list):
        return sum(map(_asked, config))
    if not isinstance(config, Mapping):
        return 0
    total = sum(_asked(value) for value in config.values() if isinstance(value, list | Mapping))
    options = config.get("config")
    shape = (config.get("build_config") or {}).get("input_shape")
    if not isinstance(options, Mapping) or not isinstance(shape, list) or not shape or not isinstance(shape[-1], int):
        return total
    for name in _SIZED:
        if isinstance(options.get(name), int):
            kernel = options.get("kernel_size") or [1]
            kernel = kernel if isinstance(kernel, list) else [kernel]
            total += shape[-1] * options[name] * math.prod(map(int, kernel)) // int(options.get("groups") or 1)
    return total


def check_network(model: keras.Model) -> None:
    """Checks that a network gives what its specification says, and that its weights are numbers.

    Raises:
        UserError: it is no pose network, its sizes or its number of keypoints contradict the specification, a weight
            is not finite, or its visibility head's temperature is none.
    """
    spec = pose_spec(model)
    if not (math.isfinite(spec.sigma) and spec.sigma > 0):
        raise UserError(f"its specification is damaged: sigma is {spec.sigma}; it must be greater than 0")
    _check_shapes(
        model, ("crops", (*spec.input_size, 3)), ("heatmaps", (*spec.heatmap_size, len(spec.skeleton.keypoints)))
    )
    _check_weights(model)
    head = visibility_head(model)
    if head is not None and not float(head.temperature) > 0:
        raise UserError(f"its visibility head has temperature {float(head.temperature)}; it must be greater than 0")


def check_detector(model: keras.Model) -> None:
    """Checks that a person detector gives what its specification says, and that its weights are numbers.

    Raises:
        UserError: it is none, its sizes contradict the specification, or a weight is not finite.
    """
    spec = detector_spec(model)
    _check_shapes(model, ("images", (*spec.input_size, 3)), ("centers", (*spec.map_size, CHANNELS)))
    _check_weights(model)


def _check_shapes(
    model: keras.Model, inputs: tuple[str, tuple[int, ...]], outputs: tuple[str, tuple[int, ...]]
) -> None:
    """Checks the names and sizes of what goes in and comes out, where the model tells."""
    last = model.outputs[-1] if getattr(model, "outputs", None) else None
    if last is not None and len(model.inputs) == 1:
        pairs = (
            (inputs[0], tuple(model.inputs[0].shape[1:]), inputs[1]),
            (outputs[0], tuple(last.shape[1:]), outputs[1]),
        )
        for what, there, stated in pairs:
            if len(there) != len(stated) or any(
                one not in (None, other) for one, other in zip(there, stated, strict=True)
            ):
                raise UserError(f"its network has {what} of shape {there}, its specification says {stated}")


def _check_weights(model: keras.Model) -> None:
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise UserError(f"weight {weight.path[-80:]} holds NaN or infinity")
