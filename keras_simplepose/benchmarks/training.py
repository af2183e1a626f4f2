"""How fast ResNet-50 trains at 256×192, beside the same network in PyTorch."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.benchmarks.rows import Row, interleaved, make_rows
from keras_simplepose.config import BenchmarkConfig, ModelConfig, OptimizationConfig
from keras_simplepose.models.losses import keypoint_mse
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.training.optimizers import PyTorchAdam

BACKBONE = "resnet50_pytorch"
REFERENCE = "training/pytorch"


def training_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """Milliseconds of a training step (forward, loss, backward, Adam); beside PyTorch's where it is installed."""
    network = build_pose_model(BACKBONE)
    spec = pose_spec(network)
    random = np.random.default_rng(0)
    crops = random.uniform(0, 255, (config.training_batch, *spec.input_size, 3)).astype(np.float32)
    targets = random.random((config.training_batch, *spec.heatmap_size, 17), np.float32)
    weights = np.ones((config.training_batch, 17), np.float32)
    contestants = {}
    torch_step = _torch_step(crops, targets, weights)
    if torch_step:
        contestants[REFERENCE] = _timed(torch_step, config.training_steps)
    modes = {"auto": (False, True), "on": (True,), "off": (False,)}[config.jit_compile]
    for compiled in modes:
        name = f"training/{'xla' if compiled else 'graph'}"
        contestants[name] = _timed(_keras_step(network, compiled, crops, targets, weights), config.training_steps)
    for measure in contestants.values():
        measure()  # Compiles, and fills caches.
    figures = interleaved(contestants, config.rounds)
    ours = [figure for name, figure in figures.items() if name != REFERENCE]
    figures["training/auto"] = min(ours, key=lambda figure: figure.value)
    yield from make_rows(figures, "ms", REFERENCE)


def _timed(step: Callable[[], Any], steps: int) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return (time.perf_counter() - start) / steps * 1e3

    return measure


def _adam(optimization: OptimizationConfig) -> keras.optimizers.Optimizer:
    return PyTorchAdam(optimization.learning_rate, epsilon=optimization.adam_epsilon)


def _keras_step(network: keras.Model, compiled: bool, *batch: np.ndarray) -> Callable[[], Any]:
    """A step as `fit` runs it, augmentation aside, which PyTorch does in its loader."""
    optimizer = _adam(OptimizationConfig())
    optimizer.build(network.trainable_variables)
    tensors = [tf.constant(array) for array in batch]

    @tf.function(jit_compile=compiled)
    def step(crops: Any, targets: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keypoint_mse(network(crops, training=True), targets, weights))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    return lambda: step(*tensors).numpy()


def _torch_step(*batch: np.ndarray) -> Callable[[], Any] | None:
    """The same step in PyTorch, with the release's loss; None without PyTorch."""
    try:
        import torch
    except ModuleNotFoundError:
        return None
    from keras_simplepose.conversion.architecture import Architecture
    from keras_simplepose.conversion.torch_networks import build_twin

    model, optimization = ModelConfig(), OptimizationConfig()
    keypoints = batch[1].shape[-1]
    network = build_twin(Architecture(BACKBONE, 1.0, model.deconv_filters, model.deconv_kernels, keypoints)).train()
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), optimization.learning_rate, eps=optimization.adam_epsilon)
    crops, targets = (torch.from_numpy(array).permute(0, 3, 1, 2) for array in batch[:2])  # channels_last already
    weights = torch.from_numpy(batch[2])[:, :, None, None]
    crops = crops / 255.0

    def step() -> float:
        optimizer.zero_grad()
        loss = 0.5 * torch.mean((network(crops) * weights - targets * weights) ** 2)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
