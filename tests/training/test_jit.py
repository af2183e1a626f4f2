import numpy as np
import tensorflow as tf

from keras_simplepose.training.devices import make_strategy
from keras_simplepose.training.jit import STEPS_WORTH_TIMING, choose_jit_compile


def never(batch):
    raise AssertionError("it was timed")


def test_xla_is_chosen_as_told_and_not_timed_for_short_runs():
    strategy = make_strategy("one_device", 1)
    assert choose_jit_compile("on", 10**6, never, None, strategy) == (True, "jit_compile is on")
    assert choose_jit_compile("off", 10**6, never, None, strategy) == (False, "jit_compile is off")
    choice, why = choose_jit_compile("auto", STEPS_WORTH_TIMING - 1, never, None, strategy)
    assert not choice and "too few" in why


def test_xla_is_timed_for_long_runs():
    strategy = make_strategy("one_device", 1)
    batches = tf.data.Dataset.from_tensors(np.ones((8, 8), np.float32))
    choice, why = choose_jit_compile("auto", STEPS_WORTH_TIMING, tf.reduce_sum, batches, strategy)
    assert isinstance(choice, bool) and why.startswith("measured")


def test_a_step_that_xla_cannot_compile_runs_without():
    strategy = make_strategy("one_device", 1)
    batches = tf.data.Dataset.from_tensors(np.array(["text"]))

    def step(batch):
        return tf.reduce_sum(tf.strings.length(batch))

    choice, why = choose_jit_compile("auto", STEPS_WORTH_TIMING, step, batches, strategy)
    assert not choice and why.startswith("XLA cannot compile this step")
