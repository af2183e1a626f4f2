"""What a network costs: parameters, multiply-adds, latency here, and the memory of a training step."""

import dataclasses
import math
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.benchmarks.memory import resident_bytes
from keras_simplepose.config import ModelConfig, OptimizationConfig, TrainingConfig
from keras_simplepose.conversion.named_models import load_model
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.build import FAMILIES, build_from_config
from keras_simplepose.models.stages import last_stage, pose_spec
from keras_simplepose.models.visibility import with_visibility
from keras_simplepose.training.trainer import make_optimizer
from keras_simplepose.training.training_model import TrainingModel

KERNEL_LAYERS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Conv2DTranspose, keras.layers.Dense)


@dataclass(frozen=True)
class Costs:
    """What one network costs.

    Attributes:
        name: of its file or flagfile.
        network: its own name.
        input_size: (H, W).
        layers: how many layers have weights.
        parameters: all.
        trainable: those that training changes.
        multiply_adds: of a forward pass of one crop.
        milliseconds: of a forward pass of one crop here, in a graph, all stages; None if not measured.
        training_bytes: by which the process grows in a training step; None if not measured.
    """

    name: str
    network: str
    input_size: tuple[int, int]
    layers: int
    parameters: int
    trainable: int
    multiply_adds: int
    milliseconds: float | None = None
    training_bytes: int | None = None


def network_of(source: str | ModelConfig) -> keras.Model:
    """A model file's network, or a new one with random weights."""
    if not isinstance(source, ModelConfig):
        return load_model(source)
    if source.initial_model:
        return with_visibility(load_model(source.initial_model), source.visibility_head)
    has_backbone = "backbone_weights" in FAMILIES[source.architecture].options
    network = build_from_config(dataclasses.replace(source, backbone_weights="none") if has_backbone else source)
    return with_visibility(network, source.visibility_head)


def measure_costs(name: str, source: str | ModelConfig, rounds: int, training_batch: int) -> Costs:
    """Counts and measures one network.

    Args:
        name: to call it by.
        source: a model file, or the configuration of a new network.
        rounds: forward passes that are timed, their median counts; 0: none.
        training_batch: crops of the training step whose memory is measured, in a process of its own; 0: none.

    Raises:
        UserError: there is no such file, or it is no pose network.
    """
    network = network_of(source)
    weighted = [layer for layer in flat_layers(network) if layer.weights]
    return Costs(
        name=name,
        network=network.name,
        input_size=pose_spec(network).input_size,
        layers=len(weighted),
        parameters=network.count_params(),
        trainable=sum(math.prod(value.shape) for value in network.trainable_variables),
        multiply_adds=multiply_adds(network),
        milliseconds=_latency(network, rounds) if rounds else None,
        training_bytes=_training_bytes(source, training_batch) if training_batch else None,
    )


def flat_layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a network, those of networks within it in their place."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from flat_layers(layer)
        else:
            yield layer


def multiply_adds(network: keras.Model) -> int:
    """Multiply-adds of a forward pass of one crop: of convolutions and dense layers, as the literature counts.

    A transposed convolution's are its kernel's at each place of its input; counted at each place of its output, as some
    tools do, they would be as many times more as its stride squared.
    """
    return sum(_multiply_adds(layer) for layer in flat_layers(network) if isinstance(layer, KERNEL_LAYERS))


def _multiply_adds(layer: keras.layers.Layer) -> int:
    shape = layer.input.shape if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output.shape
    places = math.prod(shape[1:-1])
    return places * math.prod(layer.kernel.shape)


def _latency(network: keras.Model, rounds: int) -> float:
    spec = pose_spec(network)
    forward = tf.function(lambda crops: network(crops, training=False))
    crops = tf.zeros((1, *spec.input_size, 3))
    seconds = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        tf.nest.map_structure(lambda value: value.numpy(), forward(crops))
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[1:])


def _training_bytes(source: str | ModelConfig, batch: int) -> int:
    """In a process of its own: a process's peak never falls."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(step_bytes, (source, batch))


def step_bytes(source: str | ModelConfig, batch: int) -> int:
    """By how many bytes this process grows in one training step of a batch, the optimiser's state included."""
    network = network_of(source)
    # What it holds, not its peak: making a network may have taken more for a moment.
    trainer, before = TrainingModel(network), resident_bytes(os.getpid()) or _peak_bytes()
    config = dataclasses.replace(TrainingConfig(), optimization=OptimizationConfig(batch_size=batch))
    trainer.compile(optimizer=make_optimizer(config, 1, network))
    trainer.optimizer.build(network.trainable_variables)
    float(tf.function(trainer.train_step)(_batch(pose_spec(network), batch))["loss"])
    return _peak_bytes() - before


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _batch(spec: PoseSpec, count: int) -> dict[str, Any]:
    """Grey patches as the pipeline makes them."""
    height, width = spec.input_size
    keypoints, zeros = len(spec.skeleton.keypoints), np.zeros(count, np.float32)
    return {
        "image": np.full((count, height, height, 3), 127, np.uint8),
        "keypoints": np.full((count, keypoints, 2), height / 2, np.float32),
        "visible": np.ones((count, keypoints), np.float32),
        "center": np.full((count, 2), height / 2, np.float32),
        "crop_width": np.full(count, width, np.float32),
        "data_wait": zeros,
        "scale": zeros + 1,
        "degrees": zeros,
        "flip": zeros,
        "shift": np.zeros((count, 2), np.float32),
        "half": zeros,
    }


def layer_lines(network: keras.Model) -> list[str]:
    """A line for each layer with weights: name, kind, output, parameters, millions of multiply-adds."""
    lines = [f"{'layer':<44} {'kind':<20} {'output':>16} {'parameters':>12} {'M mult.-adds':>13}"]
    for layer in flat_layers(network):
        if layer.weights:
            size = "×".join(map(str, layer.output.shape[1:]))
            macs = _multiply_adds(layer) / 1e6 if isinstance(layer, KERNEL_LAYERS) else 0.0
            kind = type(layer).__name__
            lines.append(f"{layer.name:<44} {kind:<20} {size:>16} {layer.count_params():>12,} {macs:>13.2f}")
    stages = "" if last_stage(network) is network else f", {len(network.outputs)} stages, of which the last counts"
    return [*lines, f"{network.name}: {network.count_params():,} parameters{stages}"]


def table(names: Sequence[str], rows: Iterable[Costs], training_batch: int) -> Iterator[str]:
    """The networks' costs as lines of text, each as soon as its row is there.

    Args:
        names: of the rows that come.
        rows: one for each.
        training_batch: crops of the training step.
    """
    files = [Path(name).name for name in names]
    shown = files if len(set(files)) == len(files) else names  # Runs call their models alike.
    width = max(len("network"), *map(len, shown))
    memory = f"GB, step of {training_batch}" if training_batch else "GB, step"
    yield (
        f"{'network':<{width}} {'input':>8} {'layers':>7} {'parameters':>12} {'trainable':>12} {'GMAC':>7} "
        f"{'ms/crop':>8} {memory}"
    )
    for name, row in zip(shown, rows, strict=True):
        size = "×".join(map(str, row.input_size))
        latency = "" if row.milliseconds is None else f"{row.milliseconds:.1f}"
        grown = "" if row.training_bytes is None else f"{row.training_bytes / 1e9:.2f}"
        yield (
            f"{name:<{width}} {size:>8} {row.layers:>7} {row.parameters:>12,} {row.trainable:>12,} "
            f"{row.multiply_adds / 1e9:>7.2f} {latency:>8} {grown:>{len(memory)}}"
        )
