"""Adam as PyTorch writes it, which is what the release trained with."""

import math
from typing import Any

import keras
from keras import ops

from keras_simplepose.models.layers import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class PyTorchAdam(keras.optimizers.Adam):
    """Adam whose epsilon is PyTorch's: added to the root of the second moment after its bias correction.

    Keras adds it before, so that at step t its epsilon acts as ε / √(1 − β₂ᵗ), 32 times larger at the first step. That
    matters where gradients are as small as epsilon, and a pose network's are: its loss starts near 1e-3, the weights
    of its head near 0. Arguments, state and weight decay are those of `keras.optimizers.Adam`.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable; called by Keras for each, under any strategy and loss scaling."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        gradient = ops.cast(gradient, dtype)
        momentum, velocity = self._momentums[index], self._velocities[index]
        self.assign_add(momentum, (gradient - momentum) * (1 - self.beta_1))
        self.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - self.beta_2))
        if self.amsgrad:
            largest = self._velocity_hats[index]
            self.assign(largest, ops.maximum(largest, velocity))
            velocity = largest
        # In no less than float32; and 1 − βᵗ by expm1, which keeps the digits that a power next to 1 loses.
        step = ops.cast(self.iterations + 1, keras.backend.result_type(dtype, "float32"))
        correction_1, correction_2 = (-ops.expm1(step * math.log(beta)) for beta in (self.beta_1, self.beta_2))
        rate = ops.cast(ops.cast(learning_rate, step.dtype) / correction_1, dtype)
        deviation = ops.sqrt(velocity) / ops.cast(ops.sqrt(correction_2), dtype)
        self.assign_sub(variable, rate * momentum / (deviation + self.epsilon))
