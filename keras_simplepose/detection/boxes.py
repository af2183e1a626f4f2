"""What detectors do to boxes."""

import cv2
import numpy as np

from keras_simplepose.core.boxes import PersonBoxes


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
