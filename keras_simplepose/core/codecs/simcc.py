"""SimCC: each coordinate is a class among half-pixel bins (Li et al., ECCV 2022).

In place of a heatmap each keypoint has a row of values: 2 W bins for x, then 2 H for y. Labels are Gaussians around the
nearest bin, of height 1, and a network's rows are probabilities on that scale, so that 1 means certain here as there.
"""

import math

import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Array, namespace
from keras_simplepose.core.codecs.frame import Frame, Peaks, peak_margins, rows_of

BINS = 2  # Of a pixel (paper).
BINS_PER_SIGMA = 3  # The labels' deviation is 6 bins at the default σ 2, as mmpose has it.
PATCH_RADIUS = 3  # In deviations: a keypoint whose whole label lies outside has weight 0.
DISTRIBUTIONS = True  # Rows, not maps.


def row_length(input_size: tuple[int, int]) -> int:
    """Values of a keypoint's row."""
    return BINS * sum(input_size)


def peak_scale(sigma: float) -> float:
    """The factor that gives a Gaussian label's probabilities the height 1."""
    return BINS_PER_SIGMA * sigma * math.sqrt(2 * math.pi)


def parts(rows: Array, input_size: tuple[int, int]) -> tuple[Array, Array]:
    """Rows [B, 1, 2 W + 2 H, K] cut into those for x and those for y."""
    along_x, along_y = namespace(rows).split(rows, [BINS * input_size[1]], axis=2)
    return along_x, along_y


def encode(keypoints: Array, visible: Array, spec: Frame) -> tuple[Array, Array]:
    """As `registry.encode`, but rows [B, 1, 2 W + 2 H, K]."""
    deviation, (height, width) = BINS_PER_SIGMA * spec.sigma, spec.input_size
    radius, center = PATCH_RADIUS * deviation, ops.round(keypoints * BINS)
    sizes = ops.convert_to_tensor([BINS * width, BINS * height], "float32")
    inside = ops.logical_and(center + radius + 1 >= 0, center - radius < sizes)
    weights = visible * ops.cast(ops.all(inside, axis=-1), "float32")

    def label(axis: int, count: int) -> Array:
        distance = ops.arange(count, dtype="float32") - center[..., axis, None]
        return ops.exp(-ops.square(distance) / (2 * deviation**2)) * weights[..., None]

    rows = ops.concatenate([label(0, BINS * width), label(1, BINS * height)], axis=-1)
    return ops.transpose(rows, (0, 2, 1))[:, None], weights


def decode(heatmaps: Array, spec: Frame, gather_free: bool = False) -> tuple[Array, Array]:
    """As `registry.decode`, of rows: the likeliest bins, and the lower of their two values; there is no gather."""
    del gather_free
    along_x, along_y = (Peaks.of(part) for part in parts(ops.convert_to_tensor(heatmaps, "float32"), spec.input_size))
    maxima = ops.minimum(along_x.maxima, along_y.maxima)
    points = ops.cast(ops.stack([along_x.index, along_y.index], axis=-1), "float32") / BINS
    return points * ops.cast(maxima > 0, "float32")[..., None], maxima


def decision_margins(heatmaps: np.ndarray, spec: Frame) -> np.ndarray:
    """As `registry.decision_margins`: of either maximum and its sign."""
    margins = [peak_margins(rows_of(part)) for part in parts(heatmaps, spec.input_size)]
    return np.min(margins, axis=0).reshape(len(heatmaps), -1)


def mirrored(rows: Array, spec: Frame) -> Array:
    """Rows of the mirrored crop, keypoints in their order: pixel x is W − 1 − x there, so bin i is 2 W − 2 − i."""
    along_x, along_y = parts(rows, spec.input_size)
    turned = ops.flip(along_x, axis=2)
    return ops.concatenate([turned[:, :, 1:], turned[:, :, -1:], along_y], axis=2)


def as_maps(rows: Array, spec: Frame) -> Array:
    """[B, 2 H, 2 W, K]: the joint distributions, were x and y independent; to look at."""
    along_x, along_y = parts(rows, spec.input_size)
    return along_x * ops.transpose(along_y, (0, 2, 1, 3))
