"""The person detector as `fit` trains it: augmentation, losses and metrics around it in one step."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.centers import decode_centers
from keras_simplepose.data.detector_augment import augmented_images, detector_batch
from keras_simplepose.models.losses import center_focal, weighted_l1
from keras_simplepose.models.person_detector import detector_spec
from keras_simplepose.viz.training import draw_boxes

IMAGE_FIELDS = ("image", "boxes", "persons", "ignored", "factor", "shift", "flip", "tint")
DRAWN = 20  # Most boxes in one picture.


class DetectorTrainingModel(keras.Model):
    """Trains a person detector on batches as `data.letterboxed` makes them."""

    def __init__(self, network: keras.Model, size_weight: float):
        """Wraps a network.

        Args:
            network: of `build_person_detector`.
            size_weight: of the loss of sizes.

        Raises:
            UserError: it is no person detector.
        """
        super().__init__(name="detector_training")
        self.network, self.spec, self.size_weight = network, detector_spec(network), size_weight
        self.average = None  # Weights are not averaged.
        names = ("loss", "centers", "offsets", "sizes")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self.wait_metric = keras.metrics.Sum(name="data_wait")
        self.built = True
        self._make_batch = tf.function(lambda batch: detector_batch(batch, self.spec), jit_compile=True)

    @property
    def shown_metrics(self) -> list[keras.metrics.Metric]:
        """The loss, and its parts before they are weighted, each over the persons of a batch."""
        return list(self._means.values())

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Those shown, and the seconds waited for data."""
        return [*self.shown_metrics, self.wait_metric]

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """The maps of images."""
        return self.network(images, training=training)

    def make_batch(self, batch: dict[str, Any]) -> tuple[Tensor, Any]:
        """Images and targets of a batch; see `data.detector_augment.detector_batch`."""
        return self._make_batch({name: batch[name] for name in IMAGE_FIELDS})

    def draw(self, batch: dict[str, Any]) -> np.ndarray:
        """A picture [height, width, 3] uint8 of a batch's images, with the boxes to find and those found."""
        images, boxes, persons, _ = augmented_images(batch, self.spec)
        found, scores = decode_centers(self(images), self.spec, DRAWN)
        images, boxes, persons, found, scores = map(np.asarray, (images, boxes, persons, found, scores))
        return draw_boxes(images, boxes, persons, found, scores)

    def gradient_step(self, batch: dict[str, Any]) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
        """One replica's part of a step, without the update.

        Returns:
            the loss for each person of the replica's images; the gradients of its share of the global mean; and the
            parts of the loss.
        """
        images, targets = self.make_batch(batch)
        persons = tf.maximum(1.0, tf.reduce_sum(targets.persons))
        with tf.GradientTape() as tape:
            maps = self.network(images, training=True)
            sums = {
                "centers": center_focal(maps[..., 0], targets.heat, targets.counted),
                "offsets": weighted_l1(maps[..., 1:3], targets.values[..., :2], targets.weights),
                "sizes": weighted_l1(maps[..., 3:5], targets.values[..., 2:], targets.weights),
            }
            parts = {name: tf.reduce_sum(value) / persons for name, value in sums.items()}
            loss = parts["centers"] + parts["offsets"] + self.size_weight * parts["sizes"]
            share = self.optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)
        return loss, tape.gradient(share, self.network.trainable_variables), parts

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One update; called by `fit`."""
        loss, gradients, parts = self.gradient_step(batch)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables, strict=True))
        for name, value in {"loss": loss, **parts}.items():
            self._means[name].update_state(value)
        self.wait_metric.update_state(batch["data_wait"][0] / tf.distribute.get_strategy().num_replicas_in_sync)
        return {name: mean.result() for name, mean in self._means.items()}
