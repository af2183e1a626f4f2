"""Colours and occlusion of training crops: photometric jitter and random erasing, drawn and applied like the geometry.

The four changes of colour are one affine map of RGB per crop, so that they cost one pass over the pixels.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.core.arrays import Tensor

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's grey.
# NTSC's YIQ: hue is a turn of the plane (I, Q), which leaves the luma as it is.
YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], np.float32)
SMALLEST_AREA = 0.02  # Share of the crop that is erased at least (Zhong et al., AAAI 2020).
STRONGEST_ASPECT = 1 / 0.3  # Of the erased rectangle's sides, as shares of the crop's (there).
OWN_KEY = 1  # Folded into the geometry's key, whose draws stay as they are.


@dataclass(frozen=True)
class Appearance:
    """How the crops of a batch are to look; None where nothing of a kind is drawn.

    Attributes:
        colors: [B, 4] float32: factors of brightness, contrast and saturation, and the turn of the hue in radians.
        erased: [B, 7] float32: left, top, right and bottom as shares of the crop, empty where nothing is erased; and
            the colour, RGB of 0–255, that takes the place.
    """

    colors: Tensor | None = None
    erased: Tensor | None = None

    def to_dict(self) -> dict[str, Any]:
        """What is drawn by name, as tf.data carries it."""
        return {name: value for name, value in vars(self).items() if value is not None}


def draw_appearance(seed: Tensor, step: Tensor, batch_size: int, config: AugmentationConfig) -> Appearance:
    """Draws the appearance of one global batch; arguments as `draw_transformation`."""
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    keys = tf.unstack(tf.random.experimental.stateless_split(tf.random.experimental.stateless_fold_in(key, OWN_KEY), 6))
    limits = (config.brightness, config.contrast, config.saturation, math.radians(config.hue))

    def uniform(number: int, columns: int) -> Tensor:
        return tf.random.stateless_uniform([batch_size, columns], keys[number])

    colors = erased = None
    if any(limits) and config.photometric_probability:
        change = (2 * uniform(0, 4) - 1) * limits
        drawn = tf.cast(uniform(1, 1) < config.photometric_probability, tf.float32)
        colors = np.array([1, 1, 1, 0], np.float32) + drawn * change
    if config.erasing_probability:
        area = SMALLEST_AREA + uniform(2, 1) * (config.erasing_area - SMALLEST_AREA)
        aspect = STRONGEST_ASPECT ** (2 * uniform(3, 1) - 1)
        sides = tf.minimum(tf.concat([tf.sqrt(area * aspect), tf.sqrt(area / aspect)], axis=1), 1.0)
        chosen = uniform(4, 3)
        near = chosen[:, 1:] * (1 - sides)
        drawn = tf.cast(chosen[:, :1] < config.erasing_probability, tf.float32)
        erased = tf.concat([near * drawn, (near + sides) * drawn, 255 * uniform(5, 3)], axis=1)
    return Appearance(colors, erased)


def apply_appearance(crops: Tensor, appearance: Appearance) -> Tensor:
    """Crops [B, H, W, 3] float32, whole values of RGB of 0–255, as the appearance has them; the same kind of values."""
    if appearance.colors is not None:
        crops = _recolored(crops, appearance.colors)
    if appearance.erased is not None:
        crops = _erased(crops, appearance.erased)
    return crops


def _recolored(crops: Tensor, colors: Tensor) -> Tensor:
    """Hue turned, then saturation, contrast and brightness as in Pillow's `ImageEnhance`; clipped once, at the end."""
    brightness, contrast, saturation, hue = (colors[:, index, None, None] for index in range(4))
    zeros, ones = ops.zeros_like(hue), ops.ones_like(hue)
    turn = ops.concatenate(
        [
            ops.concatenate([ones, zeros, zeros], axis=2),
            ops.concatenate([zeros, ops.cos(hue), -ops.sin(hue)], axis=2),
            ops.concatenate([zeros, ops.sin(hue), ops.cos(hue)], axis=2),
        ],
        axis=1,
    )
    grey = np.broadcast_to(LUMA, (3, 3))
    matrix = ops.matmul(ops.matmul(np.linalg.inv(YIQ), turn), YIQ)
    matrix = saturation * matrix + (1 - saturation) * grey  # A turn keeps the luma, so grey · turn is grey.
    mean = ops.sum(ops.mean(crops, axis=(1, 2)) * LUMA, axis=-1)[:, None, None, None]
    matrix, offset = brightness * contrast * matrix, (brightness * (1 - contrast))[..., None] * mean
    mixed = ops.sum(crops[:, :, :, None, :] * matrix[:, None, None], axis=-1)
    return ops.round(ops.clip(mixed + offset, 0.0, 255.0))


def _erased(crops: Tensor, erased: Tensor) -> Tensor:
    """A rectangle of one colour in place of what was there."""
    _, height, width, _ = crops.shape
    left, top, right, bottom = (erased[:, index, None, None, None] for index in range(4))
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, None, :, None]
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[None, :, None, None]
    across, down = ops.logical_and(x >= left, x < right), ops.logical_and(y >= top, y < bottom)
    return ops.where(ops.logical_and(across, down), ops.round(erased[:, None, None, 4:]), crops)
