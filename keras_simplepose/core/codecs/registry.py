"""The codecs by name. A new one is a module with `encode`, `decode` and `decision_margins`, and a line in `CODECS`.

All speak crop pixels, the frame of the network's input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Array
from keras_simplepose.core.codecs import dark, quarter_offset, simcc, udp
from keras_simplepose.core.codecs.frame import Frame
from keras_simplepose.utils.names import look_up


@dataclass(frozen=True)
class Codec:
    """One way of drawing and reading heatmaps; the functions' arguments are those of `encode`, `decode` and so on.

    Attributes:
        encode: keypoints to targets.
        decode: heatmaps to keypoints.
        decision_margins: how far heatmaps are from being read otherwise.
        description: what it is, and whose.
        distributions: rows of probabilities as `simcc` has them take the heatmaps' place, of size (1, 2 W + 2 H).
        unit_length: sizes are counted between the first and the last pixel, in crops too; mirror images need no shift.
    """

    encode: Callable[[Array, Array, Frame], tuple[Array, Array]]
    decode: Callable[[Array, Frame, bool], tuple[Array, Array]]
    decision_margins: Callable[[np.ndarray, Frame], np.ndarray]
    description: str
    unit_length: bool = False
    distributions: bool = False


def _of(module: Any) -> Codec:
    unit_length = getattr(module, "UNIT_LENGTH", False)
    rows = getattr(module, "DISTRIBUTIONS", False)
    return Codec(module.encode, module.decode, module.decision_margins, module.__doc__, unit_length, rows)


CODECS: dict[str, Codec] = {
    "quarter_offset": _of(quarter_offset),
    "dark": _of(dark),
    "udp": _of(udp),
    "simcc": _of(simcc),
}


def encode(keypoints: Array, visible: Array, spec: Frame) -> tuple[Array, Array]:
    """Draws the target heatmaps of keypoints.

    Args:
        keypoints: [B, K, 2] float32 (x, y) in crop pixels.
        visible: [B, K] float, greater than 0 where labelled.
        spec: of the network: its codec, heatmap size, stride and σ count.

    Returns:
        targets [B, h, w, K] float32; weights [B, K] float32, 1 where labelled, but 0 for keypoints that lie so far
        outside the crop that nothing is drawn.
    """
    labelled = ops.cast(visible > 0, "float32")
    return look_up("codec", spec.codec, CODECS).encode(keypoints, labelled, spec)


def decode(heatmaps: Array, spec: Frame, gather_free: bool = False) -> tuple[Array, Array]:
    """Reads keypoints off heatmaps.

    Args:
        heatmaps: [B, h, w, K] float32.
        spec: of the network: its codec, stride and σ count.
        gather_free: reads single values by comparing positions instead of gathering, for accelerators without
            gathers; the same values, in more time.

    Returns:
        keypoints [B, K, 2] float32 (x, y) in crop pixels; maxima [B, K] float32. The first maximum in row-major order
        counts; where it is ≤ 0 the point is (0, 0).
    """
    return look_up("codec", spec.codec, CODECS).decode(heatmaps, spec, gather_free)


def decision_margins(heatmaps: np.ndarray, spec: Frame) -> np.ndarray:
    """[B, K]: the least change of a value in heatmaps [B, h, w, K] that may move a decoded point by a jump.

    Two right implementations of a network differ by rounding; a point whose margin is below that proves nothing.
    """
    return look_up("codec", spec.codec, CODECS).decision_margins(heatmaps, spec)
