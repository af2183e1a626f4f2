"""The optimiser beside PyTorch's, and in every way it is run."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.training.optimizers import PyTorchAdam

STEPS, COUNT = 200, 52
RATE = 2.0**-10  # Keras keeps the rate in float32, PyTorch in float64: one that both hold.
SCALES = np.logspace(-12, 0, COUNT)  # One magnitude of gradient for each parameter.


def gradients(signed, seed=0):
    """[STEPS, COUNT] gradients; unsigned ones make every parameter go one way."""
    random = np.random.default_rng(seed)
    drawn = random.normal(size=(STEPS, COUNT)) if signed else random.uniform(0.2, 1, (STEPS, COUNT))
    return drawn * SCALES


def path(optimizer, steps, dtype="float32", compiled=False):
    """The parameters [STEPS, COUNT] after each step from 0."""
    variable = keras.Variable(np.zeros(COUNT), dtype=dtype)
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]), jit_compile=compiled)
    places = []
    for gradient in steps:
        step(tf.constant(gradient, dtype))
        places.append(np.array(variable.numpy(), np.float64))
    return np.array(places)


def pytorch_path(steps, **options):
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.zeros(COUNT, dtype=torch.float64))
    optimizer = torch.optim.Adam([parameter], RATE, eps=1e-8, **options)
    places = []
    for gradient in steps:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        places.append(parameter.detach().numpy().copy())
    return np.array(places)


def largest_difference(ours, theirs):
    """Between places, relative to the way each parameter had gone by then."""
    way = np.abs(np.diff(theirs, axis=0, prepend=0)).cumsum(axis=0)
    return (np.abs(ours - theirs) / way).max()


def adam(**options):
    return PyTorchAdam(RATE, epsilon=1e-8, **options)


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("amsgrad", [False, True], ids=["plain", "amsgrad"])
def test_200_steps_are_pytorchs(signed, amsgrad, compiled):
    steps = gradients(signed)
    ours = path(adam(amsgrad=amsgrad), steps, compiled=compiled)
    assert largest_difference(ours, pytorch_path(steps, amsgrad=amsgrad)) < 1e-6


def test_in_float64_only_rounding_is_left():
    steps = gradients(signed=True)
    assert largest_difference(path(adam(), steps, "float64"), pytorch_path(steps)) < 1e-12


def test_kerass_own_damps_small_gradients_up_to_32_times():
    """What this class is for; it would fail if Keras came to write PyTorch's formula."""
    steps = gradients(signed=False)[:1]
    ours = path(adam(), steps)[0]
    theirs = path(keras.optimizers.Adam(RATE, epsilon=1e-8), steps)[0]
    expected = (steps[0] + 1e-8 / np.sqrt(0.001)) / (steps[0] + 1e-8)
    np.testing.assert_allclose(ours / theirs, expected, rtol=1e-4)
    assert expected[0] > 31.5 and expected[-1] < 1.0001


def test_weight_decay_is_kerass():
    """Decoupled from the gradient: a step without gradient shrinks the weights by rate · decay."""
    variable = keras.Variable(np.float32([1.0, -2.0]))
    optimizer = PyTorchAdam(0.1, epsilon=1e-8, weight_decay=0.01)
    optimizer.build([variable])
    optimizer.apply([keras.ops.zeros(2)], [variable])
    np.testing.assert_allclose(variable.numpy(), np.float32([1.0, -2.0]) * (1 - 0.1 * 0.01), rtol=1e-6)


def test_it_is_written_and_read_with_its_arguments():
    optimizer = PyTorchAdam(3e-4, 0.8, 0.99, epsilon=1e-6, amsgrad=True)
    back = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(back) is PyTorchAdam
    assert back.get_config() == optimizer.get_config()


def test_its_state_goes_on_where_it_stopped(tmp_path):
    steps = gradients(signed=True)[:20]

    def model():
        network = keras.Sequential([keras.Input((COUNT,)), keras.layers.Dense(1, use_bias=False)])
        network.compile(adam())
        network.optimizer.build(network.trainable_variables)
        network.layers[0].kernel.assign(np.zeros((COUNT, 1)))
        return network

    def take(network, some):
        for gradient in some:
            network.optimizer.apply([tf.constant(gradient[:, None], tf.float32)], network.trainable_variables)
        return network.layers[0].kernel.numpy()

    whole, first, second = model(), model(), model()
    expected = take(whole, steps)
    take(first, steps[:10])
    first.save_weights(tmp_path / "state.weights.h5")
    second.load_weights(tmp_path / "state.weights.h5")
    np.testing.assert_array_equal(take(second, steps[10:]), expected)


def test_loss_scaling_leaves_its_path_and_skips_what_is_not_finite():
    steps = gradients(signed=True)[:10]
    inner = adam()
    scaled = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**10)
    variable = keras.Variable(np.zeros(COUNT, np.float32))
    scaled.build([variable])
    for gradient in steps:
        scaled.apply([tf.constant(gradient * 2.0**10, tf.float32)], [variable])
    np.testing.assert_allclose(variable.numpy(), path(adam(), steps)[-1], rtol=1e-5, atol=1e-12)
    before = variable.numpy()
    scaled.apply([tf.constant(np.full(COUNT, np.inf), tf.float32)], [variable])
    np.testing.assert_array_equal(variable.numpy(), before)
    assert int(inner.iterations) == len(steps)


REPLICAS = """
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras
import numpy as np
from keras_simplepose.training.devices import make_strategy
from keras_simplepose.training.optimizers import PyTorchAdam

steps = np.random.default_rng(0).normal(size=(10, 5)) * np.logspace(-12, 0, 5)
places = []
for name in ("one_device", "mirrored"):
    strategy = make_strategy(name, 2)
    with strategy.scope():
        variable = keras.Variable(np.zeros(5, np.float32))
        optimizer = PyTorchAdam(1e-3, epsilon=1e-8)
        optimizer.build([variable])

    @tf.function
    def step(gradient):
        def replica(gradient):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(gradient * variable.value) / strategy.num_replicas_in_sync
            optimizer.apply_gradients(zip(tape.gradient(loss, [variable.value]), [variable]))

        strategy.run(replica, args=(gradient,))

    for gradient in steps:
        step(tf.constant(gradient, tf.float32))
    places.append(variable.numpy())
    print(strategy.num_replicas_in_sync, np.abs(places[-1]).min() > 0)
print(np.abs(places[1] / places[0] - 1).max())
"""


def test_two_replicas_take_one_devices_path():
    run = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    *moved, apart = run.stdout.splitlines()
    assert moved == ["1 True", "2 True"]
    assert float(apart) < 1e-6
