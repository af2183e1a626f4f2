"""The moving average of a network's weights: Keras's optimiser keeps that of what it trains, this that of the rest.

Averaged weights need averaged batch statistics: those of the weights as they are belong to other features.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras import ops


class StatisticsAverage:
    """Moving averages of a network's floating-point variables that are not trained, batch statistics above all."""

    def __init__(self, owner: keras.layers.Layer, network: keras.Model, decay: float):
        """Makes the averages' variables.

        Args:
            owner: keeps them, so that they are saved and loaded with it.
            network: whose variables are averaged.
            decay: the share of an average that stays at each step.
        """
        self.decay, self.network = decay, network
        self.variables = [value for value in network.non_trainable_variables if "float" in value.dtype]
        self.averages = [
            owner.add_weight(
                shape=value.shape,
                initializer="zeros",
                trainable=False,
                aggregation="mean",
                name=f"average_{number}",
            )
            for number, value in enumerate(self.variables)
        ]

    def update(self, steps_done: tf.Tensor) -> None:
        """Takes the values after a step in; after the first one, as they are."""
        decay = ops.where(steps_done > 1, self.decay, 0.0)
        for value, average in zip(self.variables, self.averages, strict=True):
            average.assign(decay * average + (1 - decay) * value)

    @contextlib.contextmanager
    def swapped_in(self, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
        """The network with its averaged weights, those of the optimiser among them; afterwards as it was."""
        trained = self.network.trainable_variables
        before = [ops.convert_to_numpy(value) for value in (*trained, *self.variables)]
        optimizer.finalize_variable_values(trained)
        for value, average in zip(self.variables, self.averages, strict=True):
            value.assign(average)
        try:
            yield
        finally:
            for value, kept in zip((*trained, *self.variables), before, strict=True):
                value.assign(kept)
