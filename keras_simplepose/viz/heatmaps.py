"""Heatmaps laid over photographs."""

import cv2
import numpy as np

from keras_simplepose.core.geometry import invert

OPACITY = 0.6  # Of a heatmap pixel of value 1.


def draw_heatmaps(
    image: np.ndarray, heatmaps: np.ndarray, matrices: np.ndarray, strides: tuple[float, float]
) -> np.ndarray:
    """Lays the heatmaps of all persons over a copy of an image, the highest of all keypoints and persons in each pixel.

    Args:
        image: [H, W, 3] uint8 RGB.
        heatmaps: [N, h, w, K] float32.
        matrices: [N, 2, 3], image pixels → crop pixels.
        strides: crop pixels per heatmap pixel along x and y.

    Returns:
        [H, W, 3] uint8 RGB; where no heatmap is above 0 it is the image itself.
    """
    height, width = image.shape[:2]
    values = np.zeros((height, width), np.float32)
    for person, matrix in zip(heatmaps, matrices, strict=True):
        to_image = invert(np.asarray(matrix, np.float64)) @ np.diag([*strides, 1.0])
        peak = np.ascontiguousarray(person.max(-1), np.float32)
        values = np.maximum(values, cv2.warpAffine(peak, to_image, (width, height), flags=cv2.INTER_LINEAR))
    values = np.clip(values, 0, 1)
    colors = cv2.cvtColor(cv2.applyColorMap((values * 255).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    share = (OPACITY * values)[..., None]
    return np.round(image * (1 - share) + colors * share).astype(np.uint8)
