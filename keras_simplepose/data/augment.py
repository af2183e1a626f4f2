"""Augmentation on the accelerator: draw a transformation per crop, then apply it in one affine.

Drawing is stateless and per global batch, keyed by (seed, step), so a run is the same on one device and on eight.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.core import codecs
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.flip import flip_keypoint_order
from keras_simplepose.core.geometry import points_to_crop, transform_points
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.core.warp import warp_rounded
from keras_simplepose.data.appearance import Appearance, apply_appearance

HALF_BODY_LEAST = 3  # Labelled keypoints the chosen half must have (mmpose).


@dataclass(frozen=True)
class Transformation:
    """One drawn transformation per crop of a batch; each a float32 tensor.

    Attributes:
        scale: [B] factor on the crop's width; above 1 the person gets smaller.
        degrees: [B] rotation of the crop window.
        flip: [B] 1 to mirror, else 0.
        shift: [B, 2] of the centre, as a share of the crop's (width, height).
        half: [B] 1 for the upper body, −1 for the lower, 0 for the whole.
    """

    scale: Tensor
    degrees: Tensor
    flip: Tensor
    shift: Tensor
    half: Tensor

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, as tf.data carries them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def draw_transformation(seed: Tensor, step: Tensor, batch_size: int, config: AugmentationConfig) -> Transformation:
    """Draws the transformations of one global batch.

    Args:
        seed: scalar integer of the run.
        step: scalar integer, the batch's number.
        batch_size: B.
        config: the ranges and probabilities.
    """
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    keys = tf.unstack(tf.random.experimental.stateless_split(key, 8))

    def normal(key: Tensor, deviation: float) -> Tensor:
        return tf.random.stateless_normal([batch_size], key) * deviation

    def chance(key: Tensor, probability: float) -> Tensor:
        return tf.cast(tf.random.stateless_uniform([batch_size], key) < probability, tf.float32)

    def factors() -> Tensor:
        if config.scale_mode == "clipped":
            drawn = normal(keys[0], config.scale)
        else:
            share = tf.random.stateless_uniform([batch_size], keys[0], -1.0, 1.0)
            if config.scale_mode == "truncated":
                share = tf.math.erfinv(share * math.erf(math.sqrt(0.5))) * math.sqrt(2)
            drawn = share * config.scale
        return tf.clip_by_value(1 + drawn, 1 - config.scale, 1 + config.scale)

    limit = 2 * config.rotation
    shift = tf.random.stateless_uniform([batch_size, 2], keys[4], -config.shift, config.shift)
    upper = tf.where(tf.random.stateless_uniform([batch_size], keys[7]) < 0.5, 1.0, -1.0)
    return Transformation(
        scale=factors(),
        degrees=tf.clip_by_value(normal(keys[1], config.rotation), -limit, limit)
        * chance(keys[2], config.rotation_probability),
        flip=chance(keys[3], config.flip_probability),
        shift=shift * chance(keys[5], config.shift_probability)[:, None],
        half=upper * chance(keys[6], config.half_body_probability),
    )


def identity_transformation(batch_size: int) -> Transformation:
    """The transformation that leaves every crop plain."""
    zeros = tf.zeros([batch_size])
    return Transformation(tf.ones([batch_size]), zeros, zeros, tf.zeros([batch_size, 2]), zeros)


def half_body_crop(batch: dict[str, Any], half: Tensor, spec: PoseSpec, minimum: int) -> tuple[Tensor, Tensor]:
    """Replaces the crops of those drawn for it by the crop of the upper or lower body.

    Args:
        batch: patches, as `apply_transformation` takes them.
        half: [B], as in `Transformation`.
        spec: of the network.
        minimum: least labelled keypoints of a person whose crop may be cut.

    Returns:
        centre [B, 2] and crop width [B] in patch pixels. A person with fewer labelled keypoints, or fewer than three
        in either half, keeps the whole crop; one with too few in the drawn half gets the other.
    """
    upper = np.isin(np.arange(len(spec.skeleton.keypoints)), spec.skeleton.upper_body).astype(np.float32)
    labelled = ops.cast(batch["visible"] > 0, "float32")
    wanted = ops.where(half[:, None] > 0, upper, 1 - upper) * labelled
    other = labelled - wanted
    wanted = ops.where(ops.sum(wanted, axis=1, keepdims=True) >= HALF_BODY_LEAST, wanted, other)
    center, crop_width = points_to_crop(batch["keypoints"], wanted, spec.input_size)
    cut = ops.logical_and(ops.sum(wanted, axis=1) >= HALF_BODY_LEAST, ops.sum(labelled, axis=1) >= minimum)
    cut = ops.logical_and(ops.logical_and(cut, half != 0), crop_width > 1)
    return ops.where(cut[:, None], center, batch["center"]), ops.where(cut, crop_width, batch["crop_width"])


def apply_transformation(
    batch: dict[str, Any], transformation: Transformation, spec: PoseSpec, half_body_minimum: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Cuts the crops of a batch of patches under the drawn transformations.

    Args:
        batch: image [B, P, P, 3] uint8; keypoints [B, K, 2], visible [B, K], center [B, 2] and crop_width [B], float32
            in patch pixels.
        transformation: one per crop.
        spec: of the network.
        half_body_minimum: see `half_body_crop`.

    Returns:
        crops [B, H, W, 3] float32 RGB of 0–255, black outside the patch; keypoints [B, K, 2] float32 in crop pixels;
        visible [B, K] float32 as given, left and right swapped with the mirrored keypoints.
    """
    height, width = spec.input_size
    center, crop_width = batch["center"], batch["crop_width"]
    if half_body_minimum and spec.skeleton.upper_body:
        center, crop_width = half_body_crop(batch, transformation.half, spec, half_body_minimum)
    crop_width = crop_width * transformation.scale
    extent = ops.stack([crop_width, crop_width * (height / width)], axis=-1)
    matrix = spec.crop_matrix(
        center + transformation.shift * extent, crop_width, transformation.degrees, transformation.flip
    )
    crops = warp_rounded(batch["image"], matrix, spec.input_size)
    keypoints = transform_points(matrix, batch["keypoints"])
    order, mirrored = spec.skeleton.flip_order, transformation.flip[:, None] > 0
    visible = ops.where(mirrored, flip_keypoint_order(batch["visible"], order, 1), batch["visible"])
    keypoints = ops.where(mirrored[..., None], flip_keypoint_order(keypoints, order, 1), keypoints)
    return crops, keypoints, visible


def training_batch(
    batch: dict[str, Any],
    transformation: Transformation,
    spec: PoseSpec,
    half_body_minimum: int = 0,
    appearance: Appearance | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a batch of patches becomes for training; arguments as `apply_transformation`.

    What an appearance, if given, erases keeps its keypoints' targets.

    Returns:
        crops [B, H, W, 3] float32; target heatmaps [B, h, w, K] float32; their weights [B, K] float32, 0 or 1; the
        keypoints' flags [B, K] float32 as `Person.visible`, 0 as well where the weight is.
    """
    crops, keypoints, visible = apply_transformation(batch, transformation, spec, half_body_minimum)
    if appearance is not None:
        crops = apply_appearance(crops, appearance)
    targets, weights = codecs.encode(keypoints, visible, spec)
    return crops, targets, weights, visible * weights
