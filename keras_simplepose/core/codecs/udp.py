"""UDP: unbiased data processing (Huang et al., CVPR 2020), with DARK's step as its authors decode.

Lengths are counted between the first and last pixel: crop, heatmap and their mirror images then share their corners, so
that a mirrored heatmap needs no shift. Targets are centred on the keypoint itself, within the patch of its pixel.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Array
from keras_simplepose.core.codecs.dark import smoothed, step_margins
from keras_simplepose.core.codecs.frame import Frame, Peaks, peak_margins, rows_of

UNIT_LENGTH = True  # Sizes count as their number of pixels less one.
PATCH_RADIUS = 3  # In sigmas, as in the quarter-offset codec.
SMALLEST, LARGEST = 1e-3, 50.0  # Values are clipped to these before the logarithm (authors' release).
EPSILON = float(np.finfo(np.float32).eps)  # Added to the Hessian's diagonal (there).


def encode(keypoints: Array, visible: Array, spec: Frame) -> tuple[Array, Array]:
    """As `registry.encode`: a Gaussian centred on the keypoint, zero more than 3σ from its pixel along either axis.

    A keypoint has weight 0 where its whole patch lies outside the heatmap.
    """
    radius = PATCH_RADIUS * spec.sigma
    center = keypoints / ops.convert_to_tensor(spec.strides, "float32")
    pixel = ops.trunc(center + 0.5)
    h, w = spec.heatmap_size

    def profile(axis: int, size: int) -> Array:
        places = ops.arange(size, dtype="float32")
        bell = ops.exp(-ops.square(places - center[..., axis, None]) / (2 * spec.sigma**2))
        return ops.where(ops.abs(places - pixel[..., axis, None]) <= radius, bell, 0.0)

    inside = ops.logical_and(pixel + radius + 1 >= 0, pixel - radius < ops.convert_to_tensor([w, h], "float32"))
    weights = visible * ops.cast(ops.all(inside, axis=-1), "float32")
    across, down = profile(0, w) * weights[..., None], profile(1, h)
    targets = ops.transpose(down, (0, 2, 1))[:, :, None, :] * ops.transpose(across, (0, 2, 1))[:, None, :, :]
    return targets, weights


def decode(heatmaps: Array, spec: Frame, gather_free: bool = False) -> tuple[Array, Array]:
    """As `registry.decode`: the maximum, and one Newton step on the smoothed map's logarithm, at the borders too."""
    heatmaps = ops.convert_to_tensor(heatmaps, "float32")
    peaks = Peaks.of(heatmaps)
    _, h, w, _ = heatmaps.shape
    surface = ops.log(ops.clip(smoothed(heatmaps, peaks.maxima, spec.sigma)[0], SMALLEST, LARGEST))

    def value(right: int, down: int) -> Array:
        # The map is continued by its borders.
        place = ops.clip(peaks.y + down, 0, h - 1) * w + ops.clip(peaks.x + right, 0, w - 1)
        return dataclasses.replace(peaks, index=place).value(surface, 0, gather_free)

    dx, dy, dxx, dxy, dyy = _derivatives(value)
    dxx, dyy = dxx + EPSILON, dyy + EPSILON
    determinant = dxx * dyy - dxy * dxy
    divisor = ops.where(determinant != 0, determinant, 1.0)
    step = ops.stack([(dxy * dy - dyy * dx) / divisor, (dxy * dx - dxx * dy) / divisor], axis=-1)
    step = ops.where((determinant != 0)[..., None], step, 0.0)
    return peaks.points(step, ops.convert_to_tensor(spec.strides, "float32")), peaks.maxima


def _derivatives(value: Callable[[int, int], Any]) -> tuple[Any, Any, Any, Any, Any]:
    """∂x, ∂y, ∂xx, ∂xy, ∂yy by differences of `value(right, down)` (authors' release)."""
    middle, east, west, south, north = value(0, 0), value(1, 0), value(-1, 0), value(0, 1), value(0, -1)
    dxy = 0.5 * (value(1, 1) - east - south + 2 * middle - west - north + value(-1, -1))
    return 0.5 * (east - west), 0.5 * (south - north), east - 2 * middle + west, dxy, south - 2 * middle + north


def decision_margins(heatmaps: np.ndarray, spec: Frame) -> np.ndarray:
    """As `registry.decision_margins`: of the maximum and its sign, and of the step."""
    peaks = Peaks.of(ops.convert_to_tensor(heatmaps, "float32"))
    step = step_margins(heatmaps, peaks, spec, _derivatives, SMALLEST, LARGEST)
    return np.minimum(peak_margins(rows_of(heatmaps)).reshape(step.shape), step)
