"""Where training runs: the tf.distribute strategy, and whether XLA compiles the step."""

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_simplepose.utils.errors import UserError

# Compiling a ResNet both ways takes up to two minutes; a shorter run cannot earn that back.
STEPS_WORTH_TIMING = 5000
TIMED_STEPS = 3


def make_strategy(name: str, batch_size: int) -> tf.distribute.Strategy:
    """The strategy of that name.

    Args:
        name: "auto" (all GPUs, or one device without any), "one_device", "mirrored" (all GPUs, or all logical CPU
            devices without any), "multi_worker" (set up by TF_CONFIG), or "tpu".
        batch_size: the global one, which must divide by the number of replicas.

    Raises:
        UserError: the hardware is not there, or the batch does not divide.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if gpus else "one_device"
    if name == "one_device":
        strategy = tf.distribute.get_strategy()
    elif name == "mirrored":
        devices = gpus or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    elif name == "multi_worker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
        except (ValueError, tf.errors.OpError) as error:
            raise UserError(f"strategy tpu: no TPU found ({str(error).splitlines()[0]})") from error
        strategy = tf.distribute.TPUStrategy(resolver)
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(f"batch_size {batch_size} does not divide by the {replicas} devices")
    return strategy


def choose_jit_compile(
    mode: str, total_steps: int, step: Callable[[Any], Any], batches: Any, strategy: tf.distribute.Strategy
) -> tuple[bool, str]:
    """Whether XLA should compile the training step.

    Args:
        mode: "on", "off", or "auto", which times both ways.
        total_steps: of the whole run; below `STEPS_WORTH_TIMING` auto means off.
        step: does a step's work on a replica's batch without the update; returns a scalar that needs all of it.
        batches: dataset to take one batch from.
        strategy: in which the step runs.

    Returns:
        the choice, and one line that says why.
    """
    if mode != "auto":
        return mode == "on", f"jit_compile is {mode}"
    if total_steps < STEPS_WORTH_TIMING:
        return False, f"{total_steps} steps are too few to earn back the timing of both ways"
    batch = next(iter(strategy.experimental_distribute_dataset(batches)))
    seconds = {}
    for compiled in (False, True):
        function = tf.function(lambda data: strategy.run(step, args=(data,)), jit_compile=compiled)
        try:
            for number in range(1 + TIMED_STEPS):
                if number == 1:  # The first one compiled it.
                    start = time.perf_counter()
                strategy.experimental_local_results(function(batch))[0].numpy()
            seconds[compiled] = (time.perf_counter() - start) / TIMED_STEPS
        except tf.errors.OpError as error:
            return False, f"XLA cannot compile this step ({str(error).splitlines()[0][:100]})"
    text = f"measured {seconds[True] * 1e3:.0f} ms a step compiled, {seconds[False] * 1e3:.0f} ms not"
    return seconds[True] < seconds[False], text
