"""DARK: unbiased Gaussian targets, and a second-order step from the maximum (Zhang et al., CVPR 2020).

Targets are centred on the keypoint itself, not on its pixel. Decoding smooths the map, takes its logarithm, which of a
Gaussian is a parabola, and goes to the top of the parabola through the maximum's neighbours.
"""

import math

import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Array
from keras_simplepose.core.codecs.frame import Frame, Peaks, peak_margins, rows_of

PATCH_RADIUS = 3  # In sigmas: a keypoint further outside the heatmap has weight 0, as in the quarter-offset codec.
SMALLEST = 1e-10  # Values are raised to this before the logarithm (authors' release).
JUMP = 0.1  # Heatmap pixels: where noise may move the step by this, the point hangs on it as on a decision.


def blur_radius(sigma: float) -> int:
    """Half the smoothing kernel's size less one half: kernel 11 at σ 2, 17 at σ 3 (authors' release)."""
    return max(1, round(3 * sigma) - 1)


def blur_kernel(sigma: float) -> np.ndarray:
    """The smoothing kernel [2 · radius + 1] float32, its deviation by OpenCV's rule as in the authors' release."""
    radius = blur_radius(sigma)
    deviation = 0.3 * (radius - 1) + 0.8
    bell = np.exp(-np.square(np.arange(-radius, radius + 1)) / (2 * deviation**2))
    return (bell / bell.sum()).astype(np.float32)


def encode(keypoints: Array, visible: Array, spec: Frame) -> tuple[Array, Array]:
    """As `registry.encode`: a Gaussian over the whole heatmap, centred on the keypoint's exact place.

    A keypoint has weight 0 where it lies more than 3σ, and on the near side one pixel more, outside the heatmap.
    """
    radius = PATCH_RADIUS * spec.sigma
    center = keypoints / spec.stride
    h, w = spec.heatmap_size
    inside = ops.logical_and(center + radius + 1 >= 0, center - radius < ops.convert_to_tensor([w, h], "float32"))
    weights = visible * ops.cast(ops.all(inside, axis=-1), "float32")

    def profile(mean: Array, size: int) -> Array:
        distance = ops.arange(size, dtype="float32") - mean[..., None]
        return ops.exp(-ops.square(distance) / (2 * spec.sigma**2))

    across = profile(center[..., 0], w) * weights[..., None]
    down = profile(center[..., 1], h)
    targets = ops.transpose(down, (0, 2, 1))[:, :, None, :] * ops.transpose(across, (0, 2, 1))[:, None, :, :]
    return targets, weights


def blur_band(size: int, sigma: float) -> np.ndarray:
    """[size, size + 2 · radius] float32: takes values along an axis, so many more on either side, to smoothed ones."""
    kernel = blur_kernel(sigma)
    return np.stack([np.pad(kernel, (place, size - 1 - place)) for place in range(size)])


def smoothed_logarithm(
    heatmaps: Array, maxima: Array, sigma: float, smallest: float = SMALLEST, largest: float = math.inf
) -> Array:
    """Heatmaps [B, h, w, K] float32 smoothed with zeros around, back at their own maxima [B, K], as logarithms.

    Values are clipped to `smallest` and `largest` first. By matrices: XLA's depthwise convolution took 60 times as
    long on processors.
    """
    radius = blur_radius(sigma)
    down, across = (blur_band(size, sigma)[:, radius:-radius] for size in heatmaps.shape[1:3])  # Symmetric.
    smooth = ops.matmul(ops.matmul(down, ops.transpose(heatmaps, (0, 3, 1, 2))), across)
    smooth = ops.transpose(smooth, (0, 2, 3, 1))
    highest = ops.max(smooth, axis=(1, 2))
    # Maps without a positive value have no scale to go back to, and no point either.
    scale = ops.where(highest > 0, maxima / ops.maximum(highest, SMALLEST), 1.0)
    return ops.log(ops.clip(smooth * scale[:, None, None], smallest, largest))


def decode(heatmaps: Array, spec: Frame, gather_free: bool = False) -> tuple[Array, Array]:
    """As `registry.decode`: the maximum of the map as it is, and one Newton step on its smoothed logarithm.

    No step within two pixels of a border, or where the Hessian is singular.
    """
    heatmaps = ops.convert_to_tensor(heatmaps, "float32")
    _, h, w, _ = heatmaps.shape
    peaks = Peaks.of(heatmaps)
    surface = smoothed_logarithm(heatmaps, peaks.maxima, spec.sigma)

    def value(right: int, down: int) -> Array:
        return peaks.value(surface, right + down * w, gather_free)

    dx, dy, dxx, dxy, dyy = _derivatives(value)
    determinant = dxx * dyy - dxy * dxy
    inside = ops.logical_and(
        ops.logical_and(peaks.x > 1, peaks.x < w - 2), ops.logical_and(peaks.y > 1, peaks.y < h - 2)
    )
    stepped = ops.logical_and(inside, determinant != 0)
    divisor = ops.where(stepped, determinant, 1.0)
    step = ops.stack([(dxy * dy - dyy * dx) / divisor, (dxy * dx - dxx * dy) / divisor], axis=-1)
    return peaks.points(ops.where(stepped[..., None], step, 0.0), spec.stride), peaks.maxima


def _derivatives(value: Array) -> tuple[Array, Array, Array, Array, Array]:
    """∂x, ∂y, ∂xx, ∂xy, ∂yy by differences of `value(right, down)` (authors' release)."""
    middle = value(0, 0)
    dx = 0.5 * (value(1, 0) - value(-1, 0))
    dy = 0.5 * (value(0, 1) - value(0, -1))
    dxx = 0.25 * (value(2, 0) - 2 * middle + value(-2, 0))
    dyy = 0.25 * (value(0, 2) - 2 * middle + value(0, -2))
    dxy = 0.25 * (value(1, 1) - value(-1, 1) - value(1, -1) + value(-1, -1))
    return dx, dy, dxx, dxy, dyy


def decision_margins(heatmaps: np.ndarray, spec: Frame) -> np.ndarray:
    """As `registry.decision_margins`: of the maximum and its sign, and of a step that goes astray."""
    count, h, w, keypoints = heatmaps.shape
    flat = rows_of(heatmaps)
    maxima = heatmaps.max(axis=(1, 2))
    surface = rows_of(np.asarray(smoothed_logarithm(ops.convert_to_tensor(heatmaps), maxima, spec.sigma)))
    index, rows = flat.argmax(axis=1), np.arange(len(flat))
    read: list[np.ndarray] = []

    def value(right: int, down: int) -> np.ndarray:
        read.append(surface[rows, np.clip(index + right + down * w, 0, h * w - 1)])
        return read[-1]

    _, _, dxx, dxy, dyy = _derivatives(value)
    x, y = index % w, index // w
    inside = (x > 1) & (x < w - 2) & (y > 1) & (y < h - 2)
    astray = np.where(inside, step_margins(dxx, dxy, dyy, np.min(read, axis=0)), np.inf)
    return np.minimum(peak_margins(flat), astray).reshape(count, keypoints)


def step_margins(dxx: np.ndarray, dxy: np.ndarray, dyy: np.ndarray, least: np.ndarray) -> np.ndarray:
    """The least change of the smoothed values that may move a Newton step by `JUMP`.

    A change of them by ε moves their logarithm by ε over the least of them, and the step by no more than that over the
    Hessian's smallest curvature.

    Args:
        dxx: second derivatives of the logarithm, of any shape; dxy and dyy likewise.
        dxy: see dxx.
        dyy: see dxx.
        least: the least logarithm that the derivatives come from.
    """
    curvature = np.abs(np.abs(dxx + dyy) / 2 - np.hypot((dxx - dyy) / 2, dxy))  # The smaller eigenvalue's size.
    return JUMP * curvature * np.exp(least)
