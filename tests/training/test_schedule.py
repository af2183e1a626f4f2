import keras
import numpy as np
import pytest

from keras_simplepose.config import OptimizationConfig
from keras_simplepose.training.schedule import TrainingSchedule

STEPS = 10  # an epoch


def rates(config, steps):
    schedule = TrainingSchedule.from_config_and_steps(config, STEPS)
    return [float(schedule(step)) for step in steps]


def test_the_papers_steps():
    """1e-3, a tenth of it from epoch 90 on, a hundredth from epoch 120 on, counted from 0."""
    steps = [0, 1, 899, 900, 1199, 1200, 1399]
    np.testing.assert_allclose(rates(OptimizationConfig(), steps), [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 2, rtol=1e-6)


def test_the_cosine_goes_from_the_rate_to_0():
    config = OptimizationConfig(epochs=10, learning_rate=0.5, schedule="cosine")
    values = rates(config, range(101))
    assert values[0] == 0.5 and values[50] == pytest.approx(0.25) and values[100] == pytest.approx(0, abs=1e-7)
    assert all(first >= second for first, second in zip(values, values[1:], strict=False))
    assert rates(config, [1000]) == pytest.approx([0], abs=1e-7)


@pytest.mark.parametrize("schedule", ["steps", "cosine"])
def test_the_warm_up_rises_linearly(schedule):
    config = OptimizationConfig(epochs=100, learning_rate=1.0, schedule=schedule, warmup_steps=20)
    np.testing.assert_allclose(rates(config, range(20)), np.arange(1, 21) / 20, rtol=1e-6)
    assert rates(config, [20]) == [1.0]


def test_the_first_step_of_a_warm_up_already_learns():
    assert rates(OptimizationConfig(warmup_steps=500), [0])[0] == pytest.approx(1e-3 / 500)


@pytest.mark.parametrize("schedule", ["steps", "cosine"])
def test_it_goes_through_its_configuration(schedule):
    there = TrainingSchedule.from_config_and_steps(OptimizationConfig(schedule=schedule, warmup_steps=7), STEPS)
    serialized = keras.optimizers.schedules.serialize(there)
    back = keras.optimizers.schedules.deserialize(serialized)
    assert isinstance(back, TrainingSchedule) and back.get_config() == there.get_config()
    assert [float(back(step)) for step in (3, 500, 1300)] == [float(there(step)) for step in (3, 500, 1300)]


def test_an_optimiser_follows_it():
    optimizer = keras.optimizers.SGD(TrainingSchedule(1.0, 4, drop_steps=(2,), drop_factor=0.5))
    variable = keras.Variable(0.0)
    optimizer.build([variable])
    places = []
    for _ in range(4):
        optimizer.apply([keras.ops.ones(())])
        places.append(float(variable))
    assert places == [-1, -2, -2.5, -3]
