"""Keypoints ↔ heatmaps: the release's Gaussian targets and its quarter-offset decoding.

Both sides speak crop pixels, the frame of the network's input. Formulas follow the official release, down to its
rounding, because a published weight was trained against them.
"""

from typing import Any

import numpy as np
from keras import ops

PATCH_RADIUS = 3  # In sigmas: the release draws a Gaussian in a patch of 6σ + 1 heatmap pixels.
QUARTER = 0.25  # The step towards the higher neighbour, in heatmap pixels (paper section 3).


def encode(keypoints: Any, visible: Any, heatmap_size: tuple[int, int], stride: float, sigma: float) -> tuple[Any, Any]:
    """Draws the target heatmaps of keypoints.

    Args:
        keypoints: [B, K, 2] float32 (x, y) in crop pixels.
        visible: [B, K] float32, 1 where labelled, else 0.
        heatmap_size: (h, w).
        stride: crop pixels per heatmap pixel.
        sigma: of the Gaussian, in heatmap pixels (2 at 256-class inputs, 3 at 384-class).

    Returns:
        targets [B, h, w, K] float32 with peak 1 at the nearest heatmap pixel, zero more than 3σ from it along either
        axis; weights [B, K] float32, `visible` but 0 where the whole patch lies outside the heatmap.
    """
    radius = PATCH_RADIUS * sigma
    # Truncation, not floor: the release rounds with int(x + 0.5).
    center = ops.trunc(keypoints / stride + 0.5)

    def profile(mean: Any, size: int) -> Any:
        distance = ops.arange(size, dtype="float32") - mean[..., None]
        bell = ops.exp(-ops.square(distance) / (2 * sigma**2))
        return ops.where(ops.abs(distance) <= radius, bell, 0.0)

    h, w = heatmap_size
    across, down = profile(center[..., 0], w), profile(center[..., 1], h)
    # The release's test is off by one on the near side (patch end < 0, the end being exclusive); kept for parity.
    inside = ops.logical_and(center + radius + 1 >= 0, center - radius < ops.convert_to_tensor([w, h], "float32"))
    weights = visible * ops.cast(ops.all(inside, axis=-1), "float32")
    across = across * weights[..., None]
    targets = ops.transpose(down, (0, 2, 1))[:, :, None, :] * ops.transpose(across, (0, 2, 1))[:, None, :, :]
    return targets, weights


def decode(heatmaps: Any, stride: float, gather_free: bool = False) -> tuple[Any, Any]:
    """Reads keypoints off heatmaps: the maximum, moved a quarter pixel towards the higher neighbour on each axis.

    Args:
        heatmaps: [B, h, w, K] float32.
        stride: crop pixels per heatmap pixel.
        gather_free: reads the neighbours by comparing positions instead of gathering, for accelerators without
            gathers; the same values, in three times the time.

    Returns:
        keypoints [B, K, 2] float32 (x, y) in crop pixels; maxima [B, K] float32. The first maximum in row-major order
        counts; where it is ≤ 0 the point is (0, 0). No offset within two pixels of the near border or at the far one.
    """
    _, h, w, count = heatmaps.shape
    flat = ops.reshape(heatmaps, (-1, h * w, count))
    maxima = ops.max(flat, axis=1)
    # Keras's argmax orders −0 before 0 by bit operations that TFLite lacks; this is as fast, and faster under XLA.
    position = np.arange(h * w, dtype=np.int32)[None, :, None]
    index = ops.min(ops.where(flat == maxima[:, None], position, h * w - 1), axis=1)
    x, y = index % w, index // w

    def value(offset: int) -> Any:
        if gather_free:
            return ops.sum(ops.where(position == (index + offset)[:, None], flat, 0.0), axis=1)
        neighbour = ops.clip(index + offset, 0, h * w - 1)
        return ops.take_along_axis(flat, neighbour[:, None, :], axis=1)[:, 0]

    towards = ops.stack([ops.sign(value(1) - value(-1)), ops.sign(value(w) - value(-w))], axis=-1)
    away_from_border = ops.logical_and(ops.logical_and(x > 1, x < w - 1), ops.logical_and(y > 1, y < h - 1))
    offset = QUARTER * towards * ops.cast(away_from_border, "float32")[..., None]
    points = ops.cast(ops.stack([x, y], axis=-1), "float32") + offset
    return points * ops.cast(maxima > 0, "float32")[..., None] * stride, maxima
