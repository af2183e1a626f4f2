"""The paper's codec: Gaussian targets at whole heatmap pixels, the maximum moved a quarter pixel (section 3).

Formulas follow the official release, down to its rounding, because a published weight was trained against them.
"""

import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Array
from keras_simplepose.core.codecs.frame import Frame, Peaks, peak_margins, rows_of

PATCH_RADIUS = 3  # In sigmas: the release draws a Gaussian in a patch of 6σ + 1 heatmap pixels.
QUARTER = 0.25  # The step towards the higher neighbour, in heatmap pixels (paper section 3).


def encode(keypoints: Array, visible: Array, spec: Frame) -> tuple[Array, Array]:
    """As `registry.encode`: peak 1 at the nearest heatmap pixel, zero more than 3σ from it along either axis.

    A keypoint has weight 0 where its whole patch lies outside the heatmap.
    """
    radius = PATCH_RADIUS * spec.sigma
    # Truncation, not floor: the release rounds with int(x + 0.5).
    center = ops.trunc(keypoints / spec.stride + 0.5)

    def profile(mean: Array, size: int) -> Array:
        distance = ops.arange(size, dtype="float32") - mean[..., None]
        bell = ops.exp(-ops.square(distance) / (2 * spec.sigma**2))
        return ops.where(ops.abs(distance) <= radius, bell, 0.0)

    h, w = spec.heatmap_size
    across, down = profile(center[..., 0], w), profile(center[..., 1], h)
    # The release's test is off by one on the near side (patch end < 0, the end being exclusive); kept for parity.
    inside = ops.logical_and(center + radius + 1 >= 0, center - radius < ops.convert_to_tensor([w, h], "float32"))
    weights = visible * ops.cast(ops.all(inside, axis=-1), "float32")
    across = across * weights[..., None]
    targets = ops.transpose(down, (0, 2, 1))[:, :, None, :] * ops.transpose(across, (0, 2, 1))[:, None, :, :]
    return targets, weights


def decode(heatmaps: Array, spec: Frame, gather_free: bool = False) -> tuple[Array, Array]:
    """As `registry.decode`: the maximum, moved a quarter pixel towards the higher neighbour on each axis.

    No offset within two pixels of the near border or at the far one.
    """
    _, h, w, _ = heatmaps.shape
    peaks = Peaks.of(heatmaps)

    def towards(step: int) -> Array:
        return ops.sign(peaks.value(heatmaps, step, gather_free) - peaks.value(heatmaps, -step, gather_free))

    inside = ops.logical_and(
        ops.logical_and(peaks.x > 1, peaks.x < w - 1), ops.logical_and(peaks.y > 1, peaks.y < h - 1)
    )
    offset = QUARTER * ops.stack([towards(1), towards(w)], axis=-1) * ops.cast(inside, "float32")[..., None]
    return peaks.points(offset, spec.stride), peaks.maxima


def decision_margins(heatmaps: np.ndarray, spec: Frame) -> np.ndarray:
    """As `registry.decision_margins`: of the maximum, its sign, and the neighbours that decide the offset."""
    count, h, w, keypoints = heatmaps.shape
    flat = rows_of(heatmaps)
    index, rows = flat.argmax(axis=1), np.arange(len(flat))

    def difference(step: int) -> np.ndarray:
        values = [flat[rows, np.clip(index + offset, 0, h * w - 1)] for offset in (step, -step)]
        return np.abs(values[0] - values[1])

    return np.min([peak_margins(flat), difference(1), difference(w)], axis=0).reshape(count, keypoints)
