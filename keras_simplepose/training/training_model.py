"""The network as `fit` trains it: augmentation, loss and metrics around it in one step on the accelerator."""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.config import OptimizationConfig
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.appearance import Appearance
from keras_simplepose.data.augment import Transformation, training_batch
from keras_simplepose.data.persons import OCCLUDED
from keras_simplepose.models.losses import (
    LOSSES,
    Loss,
    distribution_divergence,
    distribution_pck,
    hard_keypoint_mse,
    heatmap_pck,
    keypoint_mse,
)
from keras_simplepose.models.stages import check_stages, pose_spec, stages
from keras_simplepose.models.visibility import learning_network, visibility_head
from keras_simplepose.training.averaging import StatisticsAverage
from keras_simplepose.utils.errors import UserError
from keras_simplepose.viz.training import draw_examples

PATCH_FIELDS = ("image", "keypoints", "visible", "center", "crop_width")
TRANSFORMATION_FIELDS = ("scale", "degrees", "flip", "shift", "half")
APPEARANCE_FIELDS = ("colors", "erased")  # Where they are drawn.


class TrainingModel(keras.Model):
    """Trains a pose network on batches of patches as `data.pipeline` makes them."""

    def __init__(
        self,
        network: keras.Model,
        half_body_minimum: int = 0,
        optimization: OptimizationConfig | None = None,
        teacher: keras.Model | None = None,
    ):
        """Wraps a network.

        Args:
            network: from crops to heatmaps, or to a list of them, one for each stage, which all learn the targets.
            half_body_minimum: `AugmentationConfig.half_body_minimum` if such crops are drawn, else 0.
            optimization: of which the loss and its weights, the accumulation, the weights' average and the teacher's
                share are the step's.
            teacher: another network with heatmaps of the same kind, which are learnt beside the labels; it stays as it
                is, and is no part of what a checkpoint holds.

        Raises:
            UserError: the network has no `Heatmaps`, or stages whose shapes differ.
        """
        super().__init__(name="training")
        optimization = optimization or OptimizationConfig()
        check_stages(network)
        self.network, self.spec, self.half_body_minimum = network, pose_spec(network), half_body_minimum
        self.head = visibility_head(network)
        learning = learning_network(network) if self.head else None
        # A closure, since Keras would take a network among the attributes for a part of this one.
        self.outputs_of = lambda crops, training: (learning or network)(crops, training=training)
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.pck_metric = keras.metrics.Mean(name="pck")
        self.head_metrics = [keras.metrics.Mean(name="visibility_loss")] if self.head else []
        self.wait_metric = keras.metrics.Sum(name="data_wait")
        self.losses_of_stages = stage_losses(optimization, len(stages(network.outputs)), self.spec)
        self.pck = heatmap_pck
        if self.spec.distributions:
            self.pck = functools.partial(distribution_pck, input_size=self.spec.input_size)
        self.accumulation_steps, self.occluded_weight = optimization.accumulation_steps, optimization.occluded_weight
        self.teacher_weight = optimization.teacher_weight if teacher else 0.0
        self.taught = (lambda crops: stages(teacher(crops, training=False))[-1]) if teacher else None
        decay = optimization.ema_decay
        self.average = StatisticsAverage(self, network, decay) if decay else None
        self.built = True
        # Compiled by itself: the sampler is six times faster under XLA on any device, the network not always.
        self._make_batch = tf.function(self._training_batch, jit_compile=True)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Those that are shown, and seconds waited for data, over an epoch."""
        return [*self.shown_metrics, self.wait_metric]

    @property
    def shown_metrics(self) -> list[keras.metrics.Metric]:
        """Those of a run's curves: mean loss, share of right keypoints, and the visibility head's part of the loss."""
        return [self.loss_metric, self.pck_metric, *self.head_metrics]

    def call(self, crops: Tensor, training: bool = False) -> Tensor:
        """The last stage's heatmaps of crops, as no visibility head has scaled them."""
        return self.forward(crops, training)[0][-1]

    def forward(self, crops: Tensor, training: bool) -> tuple[list[Tensor], Tensor | None]:
        """Every stage's heatmaps, unscaled, and the visibility head's logits, if there is one."""
        outputs = stages(self.outputs_of(crops, training))
        return (outputs[:-1], outputs[-1]) if self.head else (outputs, None)

    def _training_batch(
        self, patches: dict[str, Any], drawn: dict[str, Any], look: dict[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return training_batch(patches, Transformation(**drawn), self.spec, self.half_body_minimum, Appearance(**look))

    def make_batch(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Crops, targets, weights and flags of a batch of the pipeline; see `data.augment.training_batch`."""
        return self._make_batch(
            {name: batch[name] for name in PATCH_FIELDS},
            {name: batch[name] for name in TRANSFORMATION_FIELDS},
            {name: batch[name] for name in APPEARANCE_FIELDS if name in batch},
        )

    def draw(self, batch: dict[str, Any]) -> np.ndarray:
        """A picture [height, width, 3] uint8 of a batch's crops, with targets and predictions."""
        crops, targets, weights, _ = self.make_batch(batch)
        heatmaps = self(crops, training=False)
        crops, targets, weights, heatmaps = map(np.asarray, (crops, targets, weights, heatmaps))
        return draw_examples(crops, targets, weights, heatmaps, self.spec)

    def gradient_step(self, batch: dict[str, Any]) -> tuple[Tensor, list[Tensor], tuple[Tensor, ...]]:
        """One replica's part of a step, without the update.

        Returns:
            the mean loss of the replica's examples, summed over stages; the gradients of its share of the global mean
            (to be summed over replicas; scaled where the optimiser scales); and (right keypoints, labelled keypoints)
            of the last stage, with a visibility head its mean loss as well.
        """
        parts, whole = self.accumulation_steps, self.make_batch(batch)
        if parts == 1:
            return self._gradients_of(*whole)
        examples = [tf.reshape(value, [parts, -1, *value.shape[1:]]) for value in whole]

        def add(part: Tensor, sums: Any) -> Any:
            found = self._gradients_of(*[value[part] for value in examples])
            return part + 1, tf.nest.map_structure(tf.add, sums, found)

        zero = tf.zeros(())
        counts = (zero, zero, zero) if self.head else (zero, zero)
        zeros = (zero, [tf.zeros(each.shape, each.dtype) for each in self.network.trainable_variables], counts)
        # A loop, so that one part's activations are gone before the next begins.
        _, (loss, gradients, (right, labelled, *of_head)) = tf.while_loop(
            lambda part, _: part < parts, add, (0, zeros), parallel_iterations=1, maximum_iterations=parts
        )
        counts = (right, labelled, *(each / parts for each in of_head))
        return loss / parts, [gradient / parts for gradient in gradients], counts

    def _gradients_of(
        self, crops: Tensor, targets: Tensor, weights: Tensor, flags: Tensor
    ) -> tuple[Tensor, list[Tensor], tuple[Tensor, ...]]:
        """As `gradient_step`, of what `make_batch` gives."""
        of_head: tuple[Tensor, ...] = ()
        with tf.GradientTape() as tape:
            heatmaps, logits = self.forward(crops, training=True)
            loss = tf.reduce_mean(self._summed_losses(heatmaps, targets, weights, self._factors(flags)))
            if self.taught:
                # Every keypoint has weight: the teacher knows also those that nobody labelled.
                taught = self._summed_losses(heatmaps, self.taught(crops), tf.ones_like(weights))
                loss = (1 - self.teacher_weight) * loss + self.teacher_weight * tf.reduce_mean(taught)
            if self.head:
                of_head = (tf.reduce_mean(self.head.loss(logits, flags)),)
                loss += of_head[0]
            share = loss / tf.distribute.get_strategy().num_replicas_in_sync
            share = self.optimizer.scale_loss(share)
        gradients = tape.gradient(share, self.network.trainable_variables)
        return loss, gradients, (*self.pck(heatmaps[-1], targets, weights), *of_head)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One update; called by `fit`."""
        loss, gradients, counts = self.gradient_step(batch)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables, strict=True))
        if self.average:
            self.average.update(self.optimizer.iterations)
        self._update_metrics(loss, 1.0, *counts)
        self.wait_metric.update_state(batch["data_wait"][0] / tf.distribute.get_strategy().num_replicas_in_sync)
        return self._results()

    def test_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Loss and PCK of a batch whose padding has example weight 0; called by `evaluate`."""
        crops, targets, weights, flags = self.make_batch(batch)
        heatmaps, logits = self.forward(crops, training=False)
        example, of_head = batch["example_weight"], []
        losses = self._summed_losses(heatmaps, targets, weights, self._factors(flags))
        count = tf.reduce_sum(example)

        def mean(values: Tensor) -> Tensor:
            return tf.math.divide_no_nan(tf.reduce_sum(values * example), count)

        if self.head:
            visibility = self.head.loss(logits, flags)
            losses, of_head = losses + visibility, [mean(visibility)]
        right, labelled = self.pck(heatmaps[-1], targets, weights * example[:, None])
        self._update_metrics(mean(losses), count, right, labelled, *of_head)
        return self._results()

    def _update_metrics(self, loss: Tensor, count: Tensor, right: Tensor, labelled: Tensor, *of_head: Tensor) -> None:
        self.loss_metric.update_state(loss, sample_weight=count)
        self.pck_metric.update_state(tf.math.divide_no_nan(right, labelled), sample_weight=labelled)
        for metric, value in zip(self.head_metrics, of_head, strict=True):
            metric.update_state(value, sample_weight=count)

    def _results(self) -> dict[str, Tensor]:
        """The metrics so far, as Keras shows them."""
        return {metric.name: metric.result() for metric in self.shown_metrics}

    def _factors(self, flags: Tensor) -> Tensor | None:
        """[B, K]: what each keypoint's loss is multiplied with; None for 1."""
        if self.occluded_weight == 1:
            return None
        return tf.where(tf.equal(flags, OCCLUDED), self.occluded_weight, 1.0)

    def _summed_losses(
        self, heatmaps: list[Tensor], targets: Tensor, weights: Tensor, factors: Tensor | None = None
    ) -> Tensor:
        """[B]: the losses of all stages added up."""
        pairs = zip(self.losses_of_stages, heatmaps, strict=True)
        return tf.add_n([loss(stage, targets, weights, factors) for loss, stage in pairs])


def stage_losses(optimization: OptimizationConfig, count: int, spec: PoseSpec) -> list[Loss]:
    """The loss of each of `count` stages: the configuration's, but hard keypoints are mined in the last one only.

    Rows of probabilities have their own.

    Raises:
        UserError: the configuration asks for another.
    """
    if spec.distributions:
        if optimization.loss != OptimizationConfig.loss:
            raise UserError(f"loss is {optimization.loss}, but codec {spec.codec} has a loss of its own; leave it out")
        return [functools.partial(distribution_divergence, input_size=spec.input_size)] * count
    if optimization.loss == "ohkm":
        mined = functools.partial(hard_keypoint_mse, count=optimization.hard_keypoints)
        return [*([keypoint_mse] * (count - 1)), mined]
    return [LOSSES[optimization.loss]] * count
