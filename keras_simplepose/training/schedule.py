"""The learning rate over a run."""

import math
from typing import Any

import keras
from keras import ops

from keras_simplepose.config import DetectorOptimizationConfig, OptimizationConfig
from keras_simplepose.models.layers import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class TrainingSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then drops at given steps or a cosine down to 0.

    The paper: 1e-3, × 0.1 at the start of 0-based epochs 90 and 120, no warm-up.
    """

    def __init__(
        self,
        learning_rate: float,
        total_steps: int,
        drop_steps: Any = (),
        drop_factor: float = 0.1,
        warmup_steps: int = 0,
        cosine: bool = False,
    ):
        """Sets the schedule; steps are optimiser steps from 0."""
        self.learning_rate, self.total_steps = float(learning_rate), int(total_steps)
        self.drop_steps, self.drop_factor = tuple(int(step) for step in drop_steps), float(drop_factor)
        self.warmup_steps, self.cosine = int(warmup_steps), bool(cosine)

    @classmethod
    def from_config_and_steps(
        cls, config: OptimizationConfig | DetectorOptimizationConfig, steps_per_epoch: int
    ) -> "TrainingSchedule":
        """The schedule of a run of `config.epochs` epochs."""
        cosine = config.schedule == "cosine"
        return cls(
            config.learning_rate,
            config.epochs * steps_per_epoch,
            () if cosine else tuple(epoch * steps_per_epoch for epoch in config.drop_epochs),
            config.drop_factor,
            config.warmup_steps,
            cosine,
        )

    def __call__(self, step: Any) -> Any:
        """The learning rate at a step, float32."""
        step = ops.cast(step, "float32")
        rate = self.learning_rate
        for drop in self.drop_steps:
            rate = rate * ops.where(step >= drop, self.drop_factor, 1.0)
        if self.cosine:
            length = max(1, self.total_steps - self.warmup_steps)
            progress = ops.clip((step - self.warmup_steps) / length, 0.0, 1.0)
            rate = rate * 0.5 * (1 + ops.cos(math.pi * progress))
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, (step + 1) / self.warmup_steps)
        return ops.cast(rate, "float32")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(vars(self))
