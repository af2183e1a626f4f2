"""Whether XLA compiles the training step."""

import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_simplepose.config import DetectorTrainingConfig, TrainingConfig

# Compiling a ResNet both ways takes up to two minutes; a shorter run cannot earn that back.
STEPS_WORTH_TIMING = 5000
TIMED_STEPS = 3


def choose_jit(
    config: TrainingConfig | DetectorTrainingConfig,
    trainer: Any,
    batches: Any,
    steps: int,
    strategy: tf.distribute.Strategy,
) -> bool:
    """Times the step of a training model if asked to; batch statistics that the timing moved are put back."""

    def step(batch: dict[str, Any]) -> Any:
        loss, gradients, *_ = trainer.gradient_step(batch)
        return loss + tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    before = [keras.ops.convert_to_numpy(variable) for variable in trainer.network.non_trainable_variables]
    total = config.optimization.epochs * steps
    choice, why = choose_jit_compile(config.run.jit_compile, total, step, batches, strategy)
    for variable, value in zip(trainer.network.non_trainable_variables, before, strict=True):
        variable.assign(value)
    print(f"XLA for the training step: {'on' if choice else 'off'} ({why})")
    return choice


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
    if (
        isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        and strategy.cluster_resolver.cluster_spec().jobs
    ):
        return False, "workers would not time it alike"
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
