"""Fitting images into a detector's input."""

import cv2
import numpy as np

from keras_simplepose.core.arrays import Array, namespace

LETTERBOX_GREY = 114  # YOLOX fills what the image leaves free of its input with this.


def fitted_size(height: Array, width: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """The height and width, at least 1, of an image that is scaled to fill a canvas of (height, width) along one side.

    Whole numbers throughout, so that graphs (int32 tensors) and NumPy agree to the pixel.
    """
    ops = namespace(height, width)
    return (
        ops.minimum(size[0], ops.maximum(1, height * size[1] // width)),
        ops.minimum(size[1], ops.maximum(1, width * size[0] // height)),
    )


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Fits an image into a canvas, in its top left corner, keeping the aspect ratio.

    Args:
        image: [H, W, 3] uint8.
        size: (height, width) of the canvas.

    Returns:
        the canvas, uint8, grey where free; and the factor: canvas pixels = factor · image pixels.
    """
    factor = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (int(side) for side in fitted_size(image.shape[0], image.shape[1], size))
    canvas = np.full((*size, 3), LETTERBOX_GREY, np.uint8)
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return canvas, factor
