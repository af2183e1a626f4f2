"""Optical flow between two frames, behind one small interface, and the cuts it shows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from keras_simplepose.utils.errors import UserError

# From two grey frames [h, w] uint8 to the motion [h, w, 2] float32 (x, y), in pixels, of every pixel of the first.
FlowEstimator = Callable[[np.ndarray, np.ndarray], np.ndarray]
# From points [..., 2] (x, y) of one frame, in its pixels, to how far each has moved in the next [..., 2].
Motion = Callable[[np.ndarray], np.ndarray]

HISTOGRAM_BINS = 32
# DIS refuses small frames, and ends the process on thin ones, whose coarsest level it takes from the longer side alone
# (OpenCV 5.0: 24×320). Frames are widened to these.
SMALLEST_SIDE, SMALLEST_RATIO = 32, 1 / 4


def dis_flow() -> FlowEstimator:
    """OpenCV's dense inverse search, fast preset: the usual choice where flow has to run beside a network."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        height, width = first.shape
        least = max(SMALLEST_SIDE, math.ceil(max(height, width) * SMALLEST_RATIO))
        padding = (0, max(0, least - height), 0, max(0, least - width), cv2.BORDER_REPLICATE)
        if any(padding[:4]):
            first, second = cv2.copyMakeBorder(first, *padding), cv2.copyMakeBorder(second, *padding)
        return search.calc(first, second, np.zeros((*first.shape, 2), np.float32))[:height, :width]

    return estimate


def farneback_flow() -> FlowEstimator:
    """Farnebäck's polynomial expansion, three levels, windows of 15 pixels."""

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return cv2.calcOpticalFlowFarneback(
            first, second, np.zeros((*first.shape, 2), np.float32), 0.5, 3, 15, 3, 5, 1.2, 0
        )

    return estimate


def make_flow(name: str) -> FlowEstimator:
    """The flow of `TrackingConfig.flow`: dis or farneback.

    Raises:
        UserError: there is no such flow.
    """
    estimators = {"dis": dis_flow, "farneback": farneback_flow}
    if name not in estimators:
        raise UserError(f"flow is {name!r}; there are {', '.join(estimators)}, and any callable")
    return estimators[name]()


@dataclass(frozen=True, eq=False)
class FlowField:
    """The motion from one frame to the next: a `Motion`.

    Attributes:
        vectors: [h, w, 2] float32 (x, y) in pixels of the whole frame, on a grid that may be coarser than it.
        size: (height, width) of the frame.
    """

    vectors: np.ndarray
    size: tuple[int, int]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """How far points [..., 2] (x, y) of the first frame move, between grid points by bilinear interpolation.

        Outside the frame the motion of the nearest edge holds; a NaN point moves by NaN.
        """
        points = np.asarray(points, np.float64)
        grid = np.array(self.vectors.shape[1::-1], np.float64)
        # Pixels are areas: the middle of the first coarse one lies (1/factor − 1)/2 pixels inside the frame.
        place = (points + 0.5) * (grid / np.array(self.size[::-1])) - 0.5
        known = np.isfinite(place).all(-1)
        place = np.clip(np.where(known[..., None], place, 0.0), 0, grid - 1)
        low = np.minimum(np.floor(place).astype(np.int64), np.maximum(grid.astype(np.int64) - 2, 0))
        high = np.minimum(low + 1, grid.astype(np.int64) - 1)
        right, down = np.moveaxis(place - low, -1, 0)[..., None]
        upper = self.vectors[low[..., 1], low[..., 0]] * (1 - right) + self.vectors[low[..., 1], high[..., 0]] * right
        lower = self.vectors[high[..., 1], low[..., 0]] * (1 - right) + self.vectors[high[..., 1], high[..., 0]] * right
        return np.where(known[..., None], upper * (1 - down) + lower * down, np.nan)


@dataclass(frozen=True, eq=False)
class Step:
    """What happened between the last frame and this one.

    Attributes:
        motion: the flow; None for the first frame, after a change of size, and where none was asked for.
        is_cut: nothing of the last frame goes on in this one.
    """

    motion: FlowField | None
    is_cut: bool


class FrameFlow:
    """The flow from each frame of a film to the next, computed once a pair on reduced frames."""

    def __init__(self, estimator: FlowEstimator | None, side: int, cut_histogram: float, cut_residual: float):
        """Prepares for the first frame.

        Args:
            estimator: computes the flow; None leaves it out, and cuts are then told by histograms alone.
            side: longer side in pixels of the frames it is computed on; smaller frames are taken as they are.
            cut_histogram: Bhattacharyya distance of the histograms from which on it is a cut.
            cut_residual: mean absolute grey levels between the frame and the last one moved by the flow, likewise.
        """
        self._estimator, self._side = estimator, side
        self._cut_histogram, self._cut_residual = cut_histogram, cut_residual
        self._size: tuple[int, int] = (0, 0)
        self._grey: np.ndarray | None = None
        self._histogram: np.ndarray | None = None

    def advance(self, frame: np.ndarray) -> Step:
        """Takes the next frame [H, W, 3] uint8 RGB. A change of size is a cut.

        Raises:
            UserError: the frame is no such image, or the estimator gives something else than a flow.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise UserError(f"the frame is {frame.shape} {frame.dtype}; it must be [H, W, 3] uint8, RGB")
        size, factor = frame.shape[:2], min(1.0, self._side / max(frame.shape[:2]))
        coarse = tuple(max(1, round(side * factor)) for side in size)
        small = frame if coarse == size else cv2.resize(frame, coarse[::-1], interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        histogram = np.concatenate(
            [cv2.calcHist([small], [channel], None, [HISTOGRAM_BINS], [0, 256]) for channel in range(3)]
        )
        before, last_grey, last_histogram = self._size, self._grey, self._histogram
        self._size, self._grey, self._histogram = size, grey, histogram
        if last_grey is None or last_histogram is None:
            return Step(None, False)
        if before != size:
            return Step(None, True)
        if cv2.compareHist(last_histogram, histogram, cv2.HISTCMP_BHATTACHARYYA) >= self._cut_histogram:
            return Step(None, True)
        if self._estimator is None:
            return Step(None, False)
        vectors = np.asarray(self._estimator(last_grey, grey))
        if vectors.shape != (*grey.shape, 2) or not np.isfinite(vectors).all():
            raise UserError(f"the flow is {vectors.shape}; it must be {[*grey.shape, 2]} and finite")
        if _residual(last_grey, grey, vectors.astype(np.float32)) >= self._cut_residual:
            return Step(None, True)
        scale = np.array([size[1] / coarse[1], size[0] / coarse[0]], np.float32)
        return Step(FlowField(vectors.astype(np.float32) * scale, size), False)


def _residual(first: np.ndarray, second: np.ndarray, vectors: np.ndarray) -> float:
    """Mean absolute difference in grey levels between the first frame and the second fetched back along the flow."""
    rows, columns = np.indices(first.shape, np.float32)
    fetched = cv2.remap(
        second, columns + vectors[..., 0], rows + vectors[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return float(cv2.absdiff(first, fetched).mean())
