"""The network as `fit` trains it: augmentation, loss and metrics around it in one step on the accelerator."""

from typing import Any

import keras
import tensorflow as tf

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.data.augment import Transformation, training_batch
from keras_simplepose.models.losses import heatmap_pck, keypoint_mse
from keras_simplepose.models.stages import check_stages, pose_spec, stages

PATCH_FIELDS = ("image", "keypoints", "visible", "center", "crop_width")
TRANSFORMATION_FIELDS = ("scale", "degrees", "flip", "shift", "half")


class TrainingModel(keras.Model):
    """Trains a pose network on batches of patches as `data.pipeline` makes them."""

    def __init__(self, network: keras.Model, half_body_minimum: int = 0):
        """Wraps a network.

        Args:
            network: from crops to heatmaps, or to a list of them, one for each stage, which all learn the targets.
            half_body_minimum: `AugmentationConfig.half_body_minimum` if such crops are drawn, else 0.

        Raises:
            UserError: the network has no `Heatmaps`, or stages whose shapes differ.
        """
        super().__init__(name="training")
        check_stages(network)
        self.network, self.spec, self.half_body_minimum = network, pose_spec(network), half_body_minimum
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.pck_metric = keras.metrics.Mean(name="pck")
        self.wait_metric = keras.metrics.Sum(name="data_wait")
        self.built = True
        # Compiled by itself: the sampler is six times faster under XLA on any device, the network not always.
        self._make_batch = tf.function(self._training_batch, jit_compile=True)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Mean loss, share of right keypoints, and seconds waited for data, over an epoch."""
        return [self.loss_metric, self.pck_metric, self.wait_metric]

    def call(self, crops: Tensor, training: bool = False) -> Tensor:
        """The last stage's heatmaps of crops."""
        return stages(self.network(crops, training=training))[-1]

    def _training_batch(self, patches: dict[str, Any], drawn: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        return training_batch(patches, Transformation(**drawn), self.spec, self.half_body_minimum)

    def make_batch(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Crops, targets and weights of a batch of the pipeline; see `data.augment.training_batch`."""
        return self._make_batch(
            {name: batch[name] for name in PATCH_FIELDS}, {name: batch[name] for name in TRANSFORMATION_FIELDS}
        )

    def gradient_step(self, batch: dict[str, Any]) -> tuple[Tensor, list[Tensor], Tensor]:
        """One replica's part of a step, without the update.

        Returns:
            the mean loss of the replica's examples, summed over stages; the gradients of its share of the global mean
            (to be summed over replicas; scaled where the optimiser scales); and (right keypoints, labelled keypoints)
            of the last stage.
        """
        crops, targets, weights = self.make_batch(batch)
        with tf.GradientTape() as tape:
            heatmaps = stages(self.network(crops, training=True))
            loss = tf.reduce_mean(_summed_mse(heatmaps, targets, weights))
            share = loss / tf.distribute.get_strategy().num_replicas_in_sync
            share = self.optimizer.scale_loss(share)
        gradients = tape.gradient(share, self.network.trainable_variables)
        return loss, gradients, heatmap_pck(heatmaps[-1], targets, weights)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One update; called by `fit`."""
        loss, gradients, (right, labelled) = self.gradient_step(batch)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables, strict=True))
        self._update_metrics(loss, 1.0, right, labelled)
        self.wait_metric.update_state(batch["data_wait"][0] / tf.distribute.get_strategy().num_replicas_in_sync)
        return {"loss": self.loss_metric.result(), "pck": self.pck_metric.result()}

    def test_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Loss and PCK of a batch whose padding has example weight 0; called by `evaluate`."""
        crops, targets, weights = self.make_batch(batch)
        heatmaps = stages(self.network(crops, training=False))
        example = batch["example_weight"]
        losses = _summed_mse(heatmaps, targets, weights)
        count = tf.reduce_sum(example)
        right, labelled = heatmap_pck(heatmaps[-1], targets, weights * example[:, None])
        self._update_metrics(tf.math.divide_no_nan(tf.reduce_sum(losses * example), count), count, right, labelled)
        return {"loss": self.loss_metric.result(), "pck": self.pck_metric.result()}

    def _update_metrics(self, loss: Tensor, count: Tensor, right: Tensor, labelled: Tensor) -> None:
        self.loss_metric.update_state(loss, sample_weight=count)
        self.pck_metric.update_state(tf.math.divide_no_nan(right, labelled), sample_weight=labelled)


def _summed_mse(heatmaps: list[Tensor], targets: Tensor, weights: Tensor) -> Tensor:
    """[B]: the losses of all stages added up."""
    return tf.add_n([keypoint_mse(stage, targets, weights) for stage in heatmaps])
