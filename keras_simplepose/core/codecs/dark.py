"""DARK: unbiased Gaussian targets, and a second-order step from the maximum (Zhang et al., CVPR 2020).

Targets are centred on the keypoint itself, not on its pixel. Decoding smooths the map, takes its logarithm, which of a
Gaussian is a parabola, and goes to the top of the parabola through the maximum's neighbours.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Array
from keras_simplepose.core.codecs.frame import Frame, Peaks, peak_margins, rows_of

PATCH_RADIUS = 3  # In sigmas: a keypoint further outside the heatmap has weight 0, as in the quarter-offset codec.
SMALLEST = 1e-10  # Values are raised to this before the logarithm (authors' release).
REACH = 2  # Heatmap pixels from the maximum whose values make the step.
JUMP = 0.1  # Crop pixels: where noise may move the step by this, the point hangs on it as on a decision.

# (∂x, ∂y, ∂xx, ∂xy, ∂yy) of a function that gives the values at the maximum, so far right and down of it.
Derivatives = Callable[[Callable[[int, int], Any]], tuple[Any, Any, Any, Any, Any]]


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


def smoothed(heatmaps: Array, maxima: Array, sigma: float) -> tuple[Array, Array]:
    """Heatmaps [B, h, w, K] float32 smoothed with zeros around, back at their own maxima [B, K]; by what factor [B, K].

    By matrices: XLA's depthwise convolution took 60 times as long on processors.
    """
    radius = blur_radius(sigma)
    down, across = (blur_band(size, sigma)[:, radius:-radius] for size in heatmaps.shape[1:3])  # Symmetric.
    smooth = ops.matmul(ops.matmul(down, ops.transpose(heatmaps, (0, 3, 1, 2))), across)
    smooth = ops.transpose(smooth, (0, 2, 3, 1))
    highest = ops.max(smooth, axis=(1, 2))
    # Maps without a positive value have no scale to go back to, and no point either.
    factor = ops.where(highest > 0, maxima / ops.maximum(highest, SMALLEST), 1.0)
    return smooth * factor[:, None, None], factor


def decode(heatmaps: Array, spec: Frame, gather_free: bool = False) -> tuple[Array, Array]:
    """As `registry.decode`: the maximum of the map as it is, and one Newton step on its smoothed logarithm.

    No step within two pixels of a border, or where the Hessian is singular.
    """
    heatmaps = ops.convert_to_tensor(heatmaps, "float32")
    _, h, w, _ = heatmaps.shape
    peaks = Peaks.of(heatmaps)
    surface = ops.log(ops.maximum(smoothed(heatmaps, peaks.maxima, spec.sigma)[0], SMALLEST))

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


def _derivatives(value: Callable[[int, int], Any]) -> tuple[Any, Any, Any, Any, Any]:
    """∂x, ∂y, ∂xx, ∂xy, ∂yy by differences of `value(right, down)` (authors' release)."""
    middle = value(0, 0)
    dx = 0.5 * (value(1, 0) - value(-1, 0))
    dy = 0.5 * (value(0, 1) - value(0, -1))
    dxx = 0.25 * (value(2, 0) - 2 * middle + value(-2, 0))
    dyy = 0.25 * (value(0, 2) - 2 * middle + value(0, -2))
    dxy = 0.25 * (value(1, 1) - value(-1, 1) - value(1, -1) + value(-1, -1))
    return dx, dy, dxx, dxy, dyy


def decision_margins(heatmaps: np.ndarray, spec: Frame) -> np.ndarray:
    """As `registry.decision_margins`: of the maximum and its sign, and of the step."""
    _, h, w, _ = heatmaps.shape
    peaks = Peaks.of(ops.convert_to_tensor(heatmaps, "float32"))
    x, y = np.asarray(peaks.x), np.asarray(peaks.y)
    inside = (x > 1) & (x < w - 2) & (y > 1) & (y < h - 2)
    step = np.where(inside, step_margins(heatmaps, peaks, spec, _derivatives, SMALLEST), np.inf)
    return np.minimum(peak_margins(rows_of(heatmaps)).reshape(step.shape), step)


def step_margins(
    heatmaps: np.ndarray,
    peaks: Peaks,
    spec: Frame,
    derivatives: Derivatives,
    smallest: float,
    largest: float = math.inf,
) -> np.ndarray:
    """[B, K]: the change of a map's values, all at once and at its worst, that moves a Newton step by `JUMP`.

    To first order: changes δg, δH move the step d = −H⁻¹ g by −H⁻¹ (δg + δH d). Both are sums of the logarithms around
    the maximum, which change by a smoothed value's change over the value, and that is a sum of the map's own changes.
    A value that is clipped changes nothing, but a map is never further from another answer than that is from its limit.

    Args:
        heatmaps: [B, h, w, K].
        peaks: of them.
        spec: of the network.
        derivatives: as `_derivatives`, of values up to `REACH` pixels away, maps being continued by their borders.
        smallest: to which smoothed values are raised before the logarithm.
        largest: to which they are lowered.
    """
    smooth, factors = smoothed(ops.convert_to_tensor(heatmaps, "float32"), peaks.maxima, spec.sigma)
    factor, maxima = np.asarray(factors, np.float64), np.asarray(peaks.maxima, np.float64)
    side = 2 * REACH + 1
    unit = np.eye(side * side).reshape(side, side, side, side)
    # [5, side, side]: what each value's logarithm adds to each derivative.
    shares = np.array(derivatives(lambda right, down: unit[REACH + down, REACH + right]))
    values = _around(np.asarray(smooth, np.float64), peaks)
    clipped = np.clip(values, smallest, largest)
    dx, dy, dxx, dxy, dyy = np.einsum("dij,bkij->dbk", shares, np.log(clipped))
    band = blur_band(side, spec.sigma)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.array([[dyy, -dxy], [-dxy, dxx]]) / (dxx * dyy - dxy * dxy)
        step = -np.einsum("acbk,cbk->abk", inverse, np.array([dx, dy]))
        change = shares[:2, None, None] + np.einsum("acij,cbk->abkij", shares[[[2, 3], [3, 4]]], step)
        pulls = np.where(values == clipped, np.einsum("acbk,cbkij->abkij", inverse, change), 0.0)
        moved = np.abs(np.einsum("abkij,iq,jr->abkqr", pulls / clipped, band, band, optimize=True)).sum(axis=(-2, -1))
        # The way back to the maxima scales what is not clipped; without clipping this is 0.
        scaled = np.abs(pulls.sum(axis=(-2, -1))) * (1 + factor) / maxima
        across, down = (moved * factor + scaled) * np.reshape(spec.strides, (2, 1, 1))
        margins = JUMP / np.hypot(across, down)
        beyond = np.where((values != clipped) & shares.any(axis=0), np.abs(values - clipped), np.inf).min(axis=(-2, -1))
        return np.nan_to_num(np.minimum(margins, beyond / factor), nan=0.0, posinf=np.inf)


def _around(maps: np.ndarray, peaks: Peaks) -> np.ndarray:
    """[B, K, side, side]: the values no more than `REACH` pixels from the peaks of maps [B, h, w, K]."""
    padded = np.pad(maps, ((0, 0), (REACH, REACH), (REACH, REACH), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1, 2 * REACH + 1), axis=(1, 2))
    batch, joint = np.indices(peaks.index.shape)
    return windows[batch, np.asarray(peaks.y), np.asarray(peaks.x), joint]
