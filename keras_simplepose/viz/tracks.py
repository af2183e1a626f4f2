"""Tracks drawn into frames: poses, a colour and an id that stay with a person, the trail behind each."""

import colorsys
from collections import deque

import cv2
import numpy as np

from keras_simplepose.core.poses import TrackedPoses
from keras_simplepose.viz.drawing import DARK, draw_poses

GOLDEN = 0.618034  # Hues this far apart stay different for as many persons as there may be.
_SHIFT = 4  # Fractional bits of the coordinates given to OpenCV.


def track_color(person: int) -> tuple[int, int, int]:
    """The colour (RGB) of an id: always the same, unlike that of the ids near it."""
    red, green, blue = colorsys.hsv_to_rgb(person * GOLDEN % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


class TrackDrawer:
    """Draws the frames of one film."""

    def __init__(self, trail: int = 30):
        """Prepares; `trail` frames of each person's way are drawn, 0 for none."""
        self._trail = trail
        self._ways: dict[int, deque[tuple[float, float]]] = {}

    def __call__(self, image: np.ndarray, tracked: TrackedPoses) -> np.ndarray:
        """Draws the next frame into a copy.

        Args:
            image: [H, W, 3] uint8 RGB.
            tracked: the persons in it. A box whose person no detector saw is dashed.

        Returns:
            [H, W, 3] uint8 RGB.

        Raises:
            UserError: the image is of another shape or type.
        """
        canvas = draw_poses(image, tracked.poses, numbers=False)
        self._go_on(tracked)
        thickness = max(1, round(max(canvas.shape[:2]) / 500))
        for row, person in enumerate(tracked.ids.tolist()):
            color = track_color(person)
            way = np.array(self._ways.get(person, ()), np.float64).reshape(-1, 2)
            if len(way) > 1:
                line = np.round(way * (1 << _SHIFT)).astype(np.int32)[:, None]
                cv2.polylines(canvas, [line], False, color, thickness, cv2.LINE_AA, _SHIFT)
            box = tracked.poses.boxes[row]
            _draw_box(canvas, box, color, thickness, dashed=bool(tracked.propagated[row]))
            _draw_tag(canvas, str(person), box, color)
        return canvas

    def _go_on(self, tracked: TrackedPoses) -> None:
        """Adds where each person stands; who is gone for good loses the trail with the ones that are too old."""
        present = set()
        if self._trail:
            for row, person in enumerate(tracked.ids.tolist()):
                x, y, width, height = tracked.poses.boxes[row].tolist()
                self._ways.setdefault(person, deque(maxlen=self._trail)).append((x + width / 2, y + height))
                present.add(person)
        for person in [person for person in self._ways if person not in present]:
            self._ways[person].popleft()
            if not self._ways[person]:
                del self._ways[person]


def _draw_box(canvas: np.ndarray, box: np.ndarray, color: tuple[int, ...], thickness: int, dashed: bool) -> None:
    x, y, width, height = box.tolist()
    corners = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)])
    for start, end in zip(corners[:-1], corners[1:], strict=True):
        pieces = max(1, round(float(np.linalg.norm(end - start)) / 8)) if dashed else 1
        for piece in range(0, pieces, 2):
            ends = [start + (end - start) * min(share / pieces, 1) for share in (piece, piece + 1)]
            first, last = (tuple(np.round(point).astype(int).tolist()) for point in ends)
            cv2.line(canvas, first, last, color, thickness)


def _draw_tag(canvas: np.ndarray, text: str, box: np.ndarray, color: tuple[int, ...]) -> None:
    """The id above the box's left corner, inside the picture."""
    font, height = cv2.FONT_HERSHEY_SIMPLEX, max(10, round(max(canvas.shape[:2]) / 60))
    stroke = max(1, height // 9)
    scale = cv2.getFontScaleFromHeight(font, height, stroke)
    (width, _), _ = cv2.getTextSize(text, font, scale, stroke)
    size = np.array([width + 6, height + 6])
    corner = np.round(box[:2] - [0, size[1]]).astype(int)
    corner = np.clip(corner, 0, np.maximum(np.array(canvas.shape[1::-1]) - size, 0))
    cv2.rectangle(canvas, tuple(corner.tolist()), tuple((corner + size).tolist()), color, -1)
    origin = (int(corner[0]) + 3, int(corner[1] + size[1]) - 3)
    ink = DARK if np.dot(color, (0.299, 0.587, 0.114)) > 128 else (255, 255, 255)
    cv2.putText(canvas, text, origin, font, scale, ink, stroke, cv2.LINE_AA)
