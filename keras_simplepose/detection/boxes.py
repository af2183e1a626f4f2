"""What detectors do to pictures before, and to boxes after."""

import cv2
import numpy as np

from keras_simplepose.core.boxes import PersonBoxes

LETTERBOX_GREY = 114  # YOLOX fills what the image leaves free of its input with this.


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Fits an image into a canvas, in its top left corner, keeping the aspect ratio.

    Args:
        image: [H, W, 3] uint8.
        size: (height, width) of the canvas.

    Returns:
        the canvas, uint8, grey where free; and the factor: canvas pixels = factor · image pixels.
    """
    factor = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, min(limit, int(side * factor))) for limit, side in zip(size, image.shape, strict=False))
    canvas = np.full((*size, 3), LETTERBOX_GREY, np.uint8)
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return canvas, factor


def keep_best(boxes: np.ndarray, scores: np.ndarray, threshold: float, overlap: float) -> PersonBoxes:
    """Drops boxes that are weak, have no area, or overlap a better one.

    Args:
        boxes: [A, 4] float32 (x, y, width, height).
        scores: [A] float32.
        threshold: least score.
        overlap: greatest IoU with a better box.
    """
    usable = np.flatnonzero(np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1) & (scores >= threshold))
    boxes, scores = boxes[usable], scores[usable]
    # NMSBoxes would drop scores equal to its threshold, so it is given 0; a score of 0 is no detection.
    kept = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, overlap), np.int64).reshape(-1)
    return PersonBoxes(boxes[kept].astype(np.float32), scores[kept].astype(np.float32))
