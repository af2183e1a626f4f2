"""Adam as PyTorch writes it, which is what the release trained with."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_simplepose.models.layers import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class PyTorchAdam(keras.optimizers.Adam):
    """Adam whose epsilon is PyTorch's: added to the root of the second moment after its bias correction.

    Keras adds it before, so that at step t its epsilon acts as ε / √(1 − β₂ᵗ), 32 times larger at the first step. That
    matters where gradients are as small as epsilon, and a pose network's are: its loss starts near 1e-3, the weights
    of its head near 0. Arguments and state are those of `keras.optimizers.Adam`; so is weight decay, decoupled from the
    gradient as in AdamW, which PyTorch's learning rates of layers scale as well.
    """

    def multiply_rates(self, variables: Sequence[Any], factor: float) -> None:
        """Has variables learn at `factor` times the learning rate; the last call before the first update counts."""
        for variable in variables:
            self._rate_factors()[self._var_key(variable)] = float(factor)

    def _rate_factors(self) -> dict[Any, float]:
        return self.__dict__.setdefault("rate_factors", {})

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        """By the norm of all replicas' sum; Keras would take that of each replica's part."""
        replica = tf.distribute.get_replica_context()
        if not self.global_clipnorm or replica is None or replica.num_replicas_in_sync == 1:
            return super()._clip_gradients(grads)
        norm = tf.linalg.global_norm(replica.all_reduce(tf.distribute.ReduceOp.SUM, grads))
        return [gradient * (self.global_clipnorm / tf.maximum(norm, self.global_clipnorm)) for gradient in grads]

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Nothing: each variable's step does it, by its own learning rate."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable; called by Keras for each, under any strategy and loss scaling."""
        index, dtype = self._get_variable_index(variable), variable.dtype
        learning_rate = learning_rate * self._rate_factors().get(self._var_key(variable), 1.0)
        if self.weight_decay and self._use_weight_decay(variable):
            self.assign_sub(variable, variable * ops.cast(learning_rate * self.weight_decay, dtype))
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
