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

    Made of gathers, so that its shapes do not hang on numbers: then TFLite's fast kernels take the network behind it.

    Args:
        image: [H, W, 3] uint8 RGB, of any size.
        size: (height, width) of the canvas.

    Returns:
        canvas [height, width, 3] float32, whole grey levels; factor, a float32 scalar.
    """
    shape = tf.shape(image)
    sides = (shape[0], shape[1])
    fitted = fitted_size(*sides, size)

    def along(axis: int, pixels: Tensor) -> Tensor:
        """Resampled along an axis, linearly between the middles of pixels."""
        side, place = tf.cast(sides[axis], tf.float32), tf.range(size[axis], dtype=tf.float32)
        share = side / tf.cast(fitted[axis], tf.float32)
        position = tf.clip_by_value((place + 0.5) * share - 0.5, 0.0, side - 1)
        before = tf.floor(position)
        fraction = tf.reshape(position - before, (-1, 1, 1) if axis == 0 else (1, -1, 1))
        first, second = (
            tf.cast(tf.gather(pixels, tf.cast(tf.minimum(index, side - 1), tf.int32), axis=axis), tf.float32)
            for index in (before, before + 1)
        )
        return first + fraction * (second - first)

    canvas = tf.round(along(1, along(0, image)))
    row, column = (tf.range(size[axis]) < fitted[axis] for axis in (0, 1))
    canvas = tf.where((row[:, None] & column[None])[..., None], canvas, float(LETTERBOX_GREY))
    lengths = tf.cast(tf.stack(sides), tf.float32)
    return canvas, tf.reduce_min(tf.constant(size, tf.float32) / lengths)


def best_persons(boxes: Tensor, scores: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Those of `find_persons` that score enough: boxes [M, 4] and scores [M], M dynamic."""
    kept = _counts(boxes, scores, threshold)
    return tf.boolean_mask(boxes, kept), tf.boolean_mask(scores, kept)


def fixed_number(boxes: Tensor, scores: Tensor, threshold: float, count: int) -> tuple[Tensor, Tensor]:
    """As `best_persons` with shapes that are known: boxes [count, 4] and scores [count], zeros where nobody is left."""
    best, index = tf.math.top_k(tf.where(_counts(boxes, scores, threshold), scores, 0.0), count)
    return tf.where(best[:, None] > 0, tf.gather(boxes, index), 0.0), best


def _counts(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return (scores > 0) & (scores >= threshold) & tf.reduce_all(tf.math.is_finite(boxes), axis=-1)


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
