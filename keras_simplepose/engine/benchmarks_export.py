"""What exported files cost beside PyTorch and TensorFlow: rows for `python -m keras_simplepose.benchmark`."""

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.core.errors import UserError
from keras_simplepose.engine import artefacts
from keras_simplepose.engine.artefacts import ArtefactMetadata
from keras_simplepose.engine.export_examples import crops_of, drawn_photographs
from keras_simplepose.engine.export_onnx import FILE_NAME, write_onnx
from keras_simplepose.engine.export_proof import folder_bytes
from keras_simplepose.engine.export_savedmodel import write_saved_model
from keras_simplepose.engine.export_tflite import QUANTIZATIONS, file_name, write_tflite
from keras_simplepose.engine.inference import InferenceOptions
from keras_simplepose.models.pose import build_pose_model, pose_spec

BASELINE = "PyTorch eager, channels_last"
_PHOTOGRAPH = (480, 640)  # Height and width of the encoded photograph, COCO's usual size.

# What to run, how many crops that is, and the artefact's size in bytes (0: none).
_Task = tuple[Callable[[], Any], int, int]


def export_benchmark(
    backbone: str = "resnet50_pytorch",
    input_size: tuple[int, int] = (256, 192),
    batch: int = 8,
    rounds: int = 10,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Times one crop, without flip test, in every exported form of a network of random weights.

    The runtimes take turns, so that a busy moment of the machine does not fall on one of them; the best round counts.

    Args:
        backbone: of the network; one that `engine.torch_twin` knows is compared with PyTorch too.
        input_size: (H, W).
        batch: crops a call, where a form takes several.
        rounds: turns each takes.
        threads: PyTorch's; None means one per core, as the others take.

    Returns:
        a row for each: "name", "milliseconds" a crop, "ratio" to PyTorch on as many crops (None without PyTorch),
        "megabytes" of the artefact (None if there is none).
    """
    model = build_pose_model(backbone, input_size=input_size)
    spec = pose_spec(model)
    crops = crops_of(drawn_photographs(batch), spec)[0][:batch]
    metadata = ArtefactMetadata(spec, InferenceOptions(flip_test=False), 0.2)
    with tempfile.TemporaryDirectory() as folder:
        tasks = _torch_tasks(model, backbone, crops, threads or os.cpu_count())
        tasks |= _graph_tasks(model, crops) | _saved_model_tasks(model, metadata, crops, Path(folder))
        tasks |= _file_tasks(model, metadata, crops, Path(folder))
        milliseconds = _turns(tasks, rounds)
    rows = []
    for name, (_, count, size) in tasks.items():
        baseline = milliseconds.get(f"{BASELINE}, {'batch ' + str(batch) if count > 1 else '1 crop'}")
        ratio = milliseconds[name] / baseline if baseline else None
        megabytes = size / 1e6 if size else None
        rows.append({"name": name, "milliseconds": milliseconds[name], "ratio": ratio, "megabytes": megabytes})
    return rows


def _turns(tasks: dict[str, _Task], rounds: int) -> dict[str, float]:
    """The best time of each task, in milliseconds a crop."""
    best = dict.fromkeys(tasks, float("inf"))
    for run, _, _ in tasks.values():
        run()
    for _ in range(rounds):
        for name, (run, count, _) in tasks.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - start) / count)
    return best


def _torch_tasks(model: keras.Model, backbone: str, crops: np.ndarray, threads: int) -> dict[str, _Task]:
    """PyTorch's network of the same shape; none where PyTorch or a twin of the backbone is missing."""
    try:
        import torch

        from keras_simplepose.engine.torch_architecture import Architecture
        from keras_simplepose.engine.torch_twin import build_twin

        filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
        count = len(pose_spec(model).skeleton.keypoints)
        twin = build_twin(Architecture(backbone, 1.0, tuple(filters), (4,) * len(filters), count))
    except (ImportError, KeyError):
        return {}
    torch.set_num_threads(threads)
    twin = twin.eval().to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)

    def run(count: int) -> Any:
        with torch.inference_mode():
            return twin(pixels[:count]).numpy()

    many = len(crops)
    return {
        f"{BASELINE}, 1 crop": (lambda: run(1), 1, 0),
        f"{BASELINE}, batch {many}": (lambda: run(many), many, 0),
    }


def _graph_tasks(model: keras.Model, crops: np.ndarray) -> dict[str, _Task]:
    """The bare network in TensorFlow's graph mode and under XLA."""
    signature = [tf.TensorSpec((None, *crops.shape[1:]), tf.float32)]
    graph = tf.function(lambda x: model(x, training=False), input_signature=signature)
    compiled = tf.function(lambda x: model(x, training=False), input_signature=signature, jit_compile=True)
    many = len(crops)
    return {
        f"graph mode, batch {many}": (lambda: graph(crops).numpy(), many, 0),
        f"XLA, batch {many}": (lambda: compiled(crops).numpy(), many, 0),
    }


def _saved_model_tasks(
    model: keras.Model, metadata: ArtefactMetadata, crops: np.ndarray, folder: Path
) -> dict[str, _Task]:
    many, tasks = len(crops), {}
    image = np.zeros((*_PHOTOGRAPH, 3), np.uint8)
    image[:] = np.random.default_rng(0).integers(0, 256, (_PHOTOGRAPH[0], 1, 3), np.uint8)
    jpeg = tf.io.encode_jpeg(image)
    boxes = tf.constant([[40.0 * place, 100, 150, 300] for place in range(many)], tf.float32)
    for name, jit_compile in (("SavedModel", False), ("SavedModel, --jit_compile", True)):
        path = folder / f"saved_model_{jit_compile}"
        write_saved_model(model, path, metadata, jit_compile=jit_compile)
        signatures = tf.saved_model.load(str(path)).signatures
        size = folder_bytes(path)

        def on_crops(signatures: Any = signatures) -> Any:
            return signatures["crops"](crops=tf.constant(crops))["keypoints"].numpy()

        def on_boxes(signatures: Any = signatures) -> Any:
            return signatures["serving_default"](image_bytes=jpeg, boxes=boxes)["keypoints"].numpy()

        tasks[f"{name}, crops, batch {many}"] = (on_crops, many, size)
        tasks[f"{name}, serving_default, {many} boxes"] = (on_boxes, many, size)
    return tasks


def _file_tasks(model: keras.Model, metadata: ArtefactMetadata, crops: np.ndarray, folder: Path) -> dict[str, _Task]:
    """TFLite files of every quantisation, and ONNX; those whose packages are missing are left out."""
    tasks: dict[str, _Task] = {}

    def add(name: str, path: Path) -> None:
        predict, _ = artefacts.load_artefact(path)
        tasks[f"{name}, 1 crop"] = (lambda: predict(crops[:1]), 1, path.stat().st_size)

    try:
        for quantize in QUANTIZATIONS:
            path = folder / file_name(quantize)
            write_tflite(model, path, dataclasses.replace(metadata, quantize=quantize), crops)
            add(f"TFLite {'float32' if quantize == 'none' else quantize}", path)
        write_onnx(model, folder / FILE_NAME, metadata)
        add("ONNX Runtime", folder / FILE_NAME)
    except UserError as error:
        print(f"left out: {error}")
    return tasks
