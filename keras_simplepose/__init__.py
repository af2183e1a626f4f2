"""Top-down human pose estimation for TensorFlow and Keras 3: Simple Baselines, trained, evaluated, tracked, exported.

Importing the package registers its layers, so that `keras.saving.load_model` reads its files. The rest is loaded on
first use; the package's own worker processes load no Keras at all.
"""

import contextlib
import importlib
import os
import sys
from typing import Any

from keras_simplepose.utils.native_notes import without_native_notes
from keras_simplepose.utils.processes import COMMAND_VARIABLE, WORKER_VARIABLE
from keras_simplepose.version import VERSION as __version__

_HOMES = {
    "EvaluationConfig": "config",
    "PosePredictor": "prediction.predictor",
    "PoseSpec": "core.spec",
    "Poses": "core.poses",
    "Skeleton": "core.skeletons",
    "UserError": "utils.errors",
    "build_person_detector": "models.person_detector",
    "build_pose_model": "models.simple_baselines",
    "load_model": "conversion.named_models",
    "load_skeleton": "core.skeletons",
    "pose_spec": "models.stages",
    "save_model": "models.files",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


# oneDNN's kernels, which TensorFlow leaves off on processors without AVX-512: with them a forward pass of MobileNetV2
# took 0.4 of the time and a training step of ResNet-50 0.7 on an AVX2 processor. Read when TensorFlow is loaded.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# Notes on CUDA and CPU features would bury a command's own lines; processes that it starts are its own.
_is_command = sys.argv[:1] == ["-m"] or COMMAND_VARIABLE in os.environ
if _is_command:
    os.environ[COMMAND_VARIABLE] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # What it cannot read, the command says itself.

if WORKER_VARIABLE not in os.environ:
    with without_native_notes() if _is_command else contextlib.nullcontext():
        importlib.import_module(f"{__name__}.models.layers")
