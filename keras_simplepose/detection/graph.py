"""Photograph in, persons' boxes out: the one text that prediction and every exported file run."""

from collections.abc import Callable

import tensorflow as tf

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.centers import DetectorSpec, decode_centers
from keras_simplepose.core.suppression import suppressed
from keras_simplepose.media.letterbox import LETTERBOX_GREY, fitted_size

MOST_PERSONS = 100  # In a photograph: COCO's limit, and more than such a network tells apart.


def letterboxed(image: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """As `media.letterbox.letterbox`, in a graph, to a grey level; not smoothed either where it shrinks.

    Args:
        image: [H, W, 3] uint8 RGB, of any size.
        size: (height, width) of the canvas.

    Returns:
        canvas [height, width, 3] float32, whole grey levels; factor, a float32 scalar.
    """
    shape = tf.shape(image)
    height, width = fitted_size(shape[0], shape[1], size)
    canvas = tf.round(tf.image.resize(image[None], tf.stack([height, width]))[0])
    padding = tf.convert_to_tensor([[0, size[0] - height], [0, size[1] - width], [0, 0]])
    canvas = tf.pad(canvas - LETTERBOX_GREY, padding) + LETTERBOX_GREY
    sides = tf.cast(shape[:2], tf.float32)
    return tf.ensure_shape(canvas, (*size, 3)), tf.reduce_min(tf.constant(size, tf.float32) / sides)


def find_persons(
    network: Callable[[Tensor], Tensor], image: Tensor, spec: DetectorSpec, overlap: float, count: int = MOST_PERSONS
) -> tuple[Tensor, Tensor]:
    """The persons in a photograph.

    Args:
        network: maps images [1, H, W, 3] to maps [1, h, w, 5].
        image: [H, W, 3] uint8 RGB.
        spec: of the network.
        overlap: greatest IoU with a better box.
        count: N, most persons.

    Returns:
        boxes [N, 4] float32 (x, y, width, height) in image pixels; scores [N] float32, best first but for those
        suppressed, which are 0.
    """
    canvas, factor = letterboxed(image, spec.input_size)
    boxes, scores = decode_centers(network(canvas[None]), spec, count)
    return boxes[0] / factor, suppressed(boxes[0], scores[0], overlap)
