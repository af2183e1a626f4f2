"""What codecs share: the part of a specification they read, and the maxima of heatmaps."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Array


class Frame(Protocol):
    """The part of `PoseSpec` that a codec reads; `PoseSpec` itself knows the codecs' names, so it cannot stand here."""

    @property
    def codec(self) -> str:
        """Name of the codec."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) of the crops."""

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(h, w)."""

    @property
    def stride(self) -> float:
        """Crop pixels per heatmap pixel."""

    @property
    def strides(self) -> tuple[float, float]:
        """Crop pixels per heatmap pixel along x and y: `stride` twice, or between the last pixels' middles."""

    @property
    def sigma(self) -> float:
        """Of the Gaussian, in heatmap pixels."""


@dataclass(frozen=True)
class Peaks:
    """The first maxima of heatmaps in row-major order.

    Attributes:
        maxima: [B, K] float32.
        index: [B, K] int32 in row-major order.
        x: [B, K] int32 column.
        y: [B, K] int32 row.
    """

    maxima: Array
    index: Array
    x: Array
    y: Array

    @classmethod
    def of(cls, heatmaps: Array) -> "Peaks":
        """Those of heatmaps [B, h, w, K] float32."""
        _, h, w, count = heatmaps.shape
        flat = ops.reshape(heatmaps, (-1, h * w, count))
        maxima = ops.max(flat, axis=1)
        # Keras's argmax orders −0 before 0 by bit operations that TFLite lacks; this is as fast, and faster under XLA.
        index = ops.min(ops.where(flat == maxima[:, None], _positions(h * w), h * w - 1), axis=1)
        return cls(maxima, index, index % w, index // w)

    def value(self, heatmaps: Array, offset: int, gather_free: bool) -> Array:
        """[B, K]: the values `offset` further in row-major order in heatmaps of the same size.

        Past the ends a gather reads the value at the end and a comparison 0: use neither there.
        """
        _, h, w, count = heatmaps.shape
        flat = ops.reshape(heatmaps, (-1, h * w, count))
        if gather_free:
            return ops.sum(ops.where(_positions(h * w) == (self.index + offset)[:, None], flat, 0.0), axis=1)
        neighbour = ops.clip(self.index + offset, 0, h * w - 1)
        return ops.take_along_axis(flat, neighbour[:, None, :], axis=1)[:, 0]

    def points(self, offset: Array, stride: float | Array) -> Array:
        """[B, K, 2] (x, y) in crop pixels, `offset` [B, K, 2] heatmap pixels further; (0, 0) where the maximum ≤ 0."""
        places = ops.cast(ops.stack([self.x, self.y], axis=-1), "float32") + offset
        return places * ops.cast(self.maxima > 0, "float32")[..., None] * stride


def _positions(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)[None, :, None]


def peak_margins(flat: np.ndarray) -> np.ndarray:
    """[N]: the least change of a value that may move the maximum of rows [N, h · w], or take it below 0."""
    highest = np.partition(flat, -2, axis=1)[:, -2:]
    return np.minimum(highest[:, 1] - highest[:, 0], np.abs(highest[:, 1]))


def rows_of(heatmaps: np.ndarray) -> np.ndarray:
    """Heatmaps [N, h, w, K] as rows [N · K, h · w]."""
    count, h, w, keypoints = heatmaps.shape
    return heatmaps.transpose(0, 3, 1, 2).reshape(count * keypoints, h * w)
