"""What exported files cost beside PyTorch and TensorFlow: rows for `python -m keras_simplepose.benchmark`."""

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.benchmarks.rows import Row, interleaved, make_rows
from keras_simplepose.config import BenchmarkConfig, EvaluationConfig
from keras_simplepose.exporting.examples import crops_of, drawn_photographs
from keras_simplepose.exporting.onnx import FILE_NAME, write_onnx
from keras_simplepose.exporting.saved_model import write_saved_model
from keras_simplepose.exporting.tflite import QUANTIZATIONS, file_name, write_tflite
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.prediction import exported_model as artefacts
from keras_simplepose.prediction.exported_model import ArtefactMetadata
from keras_simplepose.utils.errors import UserError

BACKBONE = "resnet50_pytorch"
ONE, MANY = "export/pytorch_1", "export/pytorch_batch"
_RUNS = 3
_PHOTOGRAPH = (480, 640)  # Height and width of the encoded photograph, COCO's usual size.


class Task(NamedTuple):
    """What to run, how many crops that is, and the row it is compared with."""

    run: Callable[[], Any]
    crops: int
    reference: str


def export_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """Milliseconds a crop, without flip test, of ResNet-50 at 256×192 in every exported form.

    Beside PyTorch in eager mode, channels_last, with a thread per core, on as many crops. `serving_default`, which also
    decodes the photograph and cuts the crops, is compared with `crops` of the same file.
    """
    batch = config.export_batch
    model = build_pose_model(BACKBONE)
    spec = pose_spec(model)
    crops = crops_of(drawn_photographs(batch), spec)[0][:batch]
    metadata = ArtefactMetadata(spec, EvaluationConfig(flip_test=False))
    with tempfile.TemporaryDirectory() as folder:
        tasks = _torch_tasks(model, crops) | _graph_tasks(model, crops)
        tasks |= _saved_model_tasks(model, metadata, crops, Path(folder))
        tasks |= _file_tasks(model, metadata, crops, Path(folder))
        for task in tasks.values():
            task.run()  # Traces, compiles, fills caches.
        figures = interleaved({name: timed(task) for name, task in tasks.items()}, config.rounds)
    yield from make_rows(figures, "ms", {name: task.reference for name, task in tasks.items()})


def timed(task: Task) -> Callable[[], float]:
    """Measures the task's best of three runs, in milliseconds a crop."""

    def measure() -> float:
        seconds = []
        for _ in range(_RUNS):
            start = time.perf_counter()
            task.run()
            seconds.append(time.perf_counter() - start)
        return 1e3 * min(seconds) / task.crops

    return measure


def _torch_tasks(model: keras.Model, crops: np.ndarray) -> dict[str, Task]:
    """PyTorch's network of the same shape; none where PyTorch is missing."""
    try:
        import torch
    except ModuleNotFoundError:
        return {}
    from keras_simplepose.conversion.architecture import Architecture
    from keras_simplepose.conversion.torch_networks import build_twin

    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    count = len(pose_spec(model).skeleton.keypoints)
    twin = build_twin(Architecture(BACKBONE, 1.0, tuple(filters), (4,) * len(filters), count))
    torch.set_num_threads(os.cpu_count() or 1)
    twin = twin.eval().to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)

    def run(count: int) -> Any:
        with torch.inference_mode():
            return twin(pixels[:count]).numpy()

    many = len(crops)
    return {
        ONE: Task(lambda: run(1), 1, ""),
        MANY: Task(lambda: run(many), many, ""),
    }


def _graph_tasks(model: keras.Model, crops: np.ndarray) -> dict[str, Task]:
    """The bare network in TensorFlow's graph mode and under XLA."""
    signature = [tf.TensorSpec((None, *crops.shape[1:]), tf.float32)]
    graph = tf.function(lambda x: model(x, training=False), input_signature=signature)
    compiled = tf.function(lambda x: model(x, training=False), input_signature=signature, jit_compile=True)
    many = len(crops)
    return {
        "export/graph": Task(lambda: graph(crops).numpy(), many, MANY),
        "export/xla": Task(lambda: compiled(crops).numpy(), many, MANY),
    }


def _saved_model_tasks(
    model: keras.Model, metadata: ArtefactMetadata, crops: np.ndarray, folder: Path
) -> dict[str, Task]:
    many, tasks = len(crops), {}
    image = np.zeros((*_PHOTOGRAPH, 3), np.uint8)
    image[:] = np.random.default_rng(0).integers(0, 256, (_PHOTOGRAPH[0], 1, 3), np.uint8)
    jpeg = tf.io.encode_jpeg(image)
    boxes = tf.constant([[40.0 * place, 100, 150, 300] for place in range(many)], tf.float32)
    for name, jit_compile in (("export/savedmodel", False), ("export/savedmodel_xla", True)):
        path = folder / f"saved_model_{jit_compile}"
        write_saved_model(model, path, metadata, jit_compile=jit_compile)
        signatures = tf.saved_model.load(str(path)).signatures

        def on_crops(signatures: Any = signatures) -> Any:
            return signatures["crops"](crops=tf.constant(crops))["keypoints"].numpy()

        def on_boxes(signatures: Any = signatures) -> Any:
            return signatures["serving_default"](image_bytes=jpeg, boxes=boxes)["keypoints"].numpy()

        tasks[f"{name}_crops"] = Task(on_crops, many, MANY)
        tasks[f"{name}_serving_default"] = Task(on_boxes, many, f"{name}_crops")
    return tasks


def _file_tasks(model: keras.Model, metadata: ArtefactMetadata, crops: np.ndarray, folder: Path) -> dict[str, Task]:
    """TFLite files of every quantisation, and ONNX; those whose packages are missing are left out."""
    tasks: dict[str, Task] = {}

    def add(name: str, path: Path) -> None:
        predict, _ = artefacts.load_artefact(path)
        tasks[name] = Task(lambda: predict(crops[:1]), 1, ONE)

    try:
        for quantize in QUANTIZATIONS:
            path = folder / file_name(quantize)
            write_tflite(model, path, dataclasses.replace(metadata, quantize=quantize), crops)
            add(f"export/tflite_{'float32' if quantize == 'none' else quantize}", path)
        write_onnx(model, folder / FILE_NAME, metadata)
        add("export/onnx", folder / FILE_NAME)
    except UserError as error:
        print(f"left out: {error}", file=sys.stderr)
    return tasks
