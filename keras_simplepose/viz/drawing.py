"""Poses drawn into photographs: limbs in left and right colours, an outline per person, sizes after the person.

`supervision` was considered. Its annotators take one fixed joint radius, line width and colour each, do not fade with
the score, and bring PyAV, SciPy, Requests and PyYAML along; what is wanted here would be a call per limb. So OpenCV's
lines and circles, anti-aliased and with fractional coordinates, are used directly.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.utils.errors import UserError

# RGB. Orange and blue stay apart for every common kind of colour blindness.
LEFT, RIGHT, MIDDLE = (255, 140, 0), (40, 150, 255), (240, 240, 240)
DARK = (20, 20, 20)
# Outlines of several persons: none of them near the colours above.
PERSON_COLORS = ((230, 30, 150), (20, 190, 90), (250, 230, 40), (140, 70, 230), (30, 220, 220), (220, 50, 40))

LINE_SHARE = 1 / 60  # Line width over the person's size: a limb of a person 600 pixels tall is 10 wide.
THICKEST_SHARE = 1 / 14  # No limb wider than this share of the person, however small that is in the picture.
LEAST_SHARE = 1 / 900  # Least line width over the picture's longer side, to be seen when the whole of it is shown.
JOINT_SHARE = 1.0  # Radius of a joint over the line width.
RIM_SHARE = 0.4  # Width of the outline on either side over the line width.
FAINTEST = 0.35  # Opacity of a point whose score is 0.
SOLID_SCORE = 0.7  # Score from which on a point is drawn solid; trained networks seldom exceed 0.9.
_SHIFT = 4  # Fractional bits of the coordinates given to OpenCV.


def keypoint_sides(skeleton: Skeleton) -> list[str]:
    """For each keypoint "left", "right" or "middle": by its name, or else by its place in a flip pair."""
    sides = ["middle"] * len(skeleton.keypoints)
    for left, right in skeleton.flip_pairs:
        if skeleton.keypoints[left].lower().startswith("r"):  # MPII's pairs begin with the right.
            left, right = right, left
        sides[left], sides[right] = "left", "right"
    return sides


def edge_sides(skeleton: Skeleton) -> list[str]:
    """For each edge the side it is on: a side's limb, or "middle" if it joins the two sides or neither."""
    sides = keypoint_sides(skeleton)
    result = []
    for edge in skeleton.edges:
        ends = {sides[end] for end in edge} - {"middle"}
        result.append(ends.pop() if len(ends) == 1 else "middle")
    return result


def line_width(points: np.ndarray, box: np.ndarray, image_size: tuple[int, int]) -> float:
    """The width of a person's limbs in pixels.

    Args:
        points: [P, 2] (x, y), those to be drawn.
        box: (x, y, width, height) of the person, whose size counts where the points are too few to tell.
        image_size: (height, width).
    """
    size = float(np.ptp(points, axis=0).max()) if len(points) > 2 else float(max(box[2:]))
    least = max(image_size) * LEAST_SHARE
    return max(1.0, min(max(size * LINE_SHARE, least), size * THICKEST_SHARE))


def draw_poses(image: np.ndarray, poses: Poses, numbers: bool = True) -> np.ndarray:
    """Draws poses into a copy of an image.

    Left limbs are orange, right ones blue. Points that `Poses.reliable` marks as not found are left out; the others are
    the fainter the lower their score. Of several persons, each has an outline of a colour of its own, and its number.

    Args:
        image: [H, W, 3] uint8 RGB.
        poses: in pixels of that image.
        numbers: whether several persons are numbered, in the order of `poses`, from 0.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        UserError: the image is of another shape or type.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"the image to draw into is {image.shape} {image.dtype}; it must be [H, W, 3] uint8, RGB")
    canvas = np.ascontiguousarray(image).copy()
    # The small on top: a large person would hide them.
    for person in np.argsort(-poses.boxes[:, 2] * poses.boxes[:, 3], kind="stable"):
        outline = PERSON_COLORS[person % len(PERSON_COLORS)] if len(poses) > 1 else DARK
        _draw_person(canvas, poses, int(person), outline)
    if numbers and len(poses) > 1:
        for person in range(len(poses)):
            _draw_number(canvas, poses, person)
    return canvas


def _drawable(poses: Poses, person: int) -> np.ndarray:
    return poses.reliable[person] & np.isfinite(poses.keypoints[person]).all(-1)


def _draw_person(canvas: np.ndarray, poses: Poses, person: int, outline: tuple[int, int, int]) -> None:
    points, scores = poses.keypoints[person, :, :2], poses.keypoints[person, :, 2]
    drawable = _drawable(poses, person)
    if not drawable.any():
        return
    width = line_width(points[drawable], poses.boxes[person], canvas.shape[:2])
    radius, rim = width * JOINT_SHARE, max(1.0, width * RIM_SHARE)
    opacity = FAINTEST + (1 - FAINTEST) * np.clip(scores / SOLID_SCORE, 0, 1)
    colors = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
    edges = [
        (edge, side)
        for edge, side in zip(poses.skeleton.edges, edge_sides(poses.skeleton), strict=True)
        if drawable[list(edge)].all()
    ]
    layer = _Layer(canvas, points[drawable], radius + rim)
    if layer.is_empty:
        return
    # All outlines first, so that none crosses a limb.
    for (a, b), _ in edges:
        layer.line(points[a], points[b], outline, width + 2 * rim, min(opacity[a], opacity[b]))
    for point in np.flatnonzero(drawable).tolist():
        layer.disc(points[point], outline, radius + rim, opacity[point])
    for (a, b), side in edges:
        layer.line(points[a], points[b], colors[side], width, min(opacity[a], opacity[b]))
    for point, side in enumerate(keypoint_sides(poses.skeleton)):
        if drawable[point]:
            layer.disc(points[point], colors[side], radius, opacity[point])
    layer.blend()


class _Layer:
    """One person's drawing with an opacity of its own in each pixel.

    Limbs replace what the layer holds instead of blending with it: a faded limb shows the photograph through it and
    not its outline, which would turn orange and blue into other colours.
    """

    def __init__(self, canvas: np.ndarray, points: np.ndarray, margin: float):
        """Begins a layer over the part of the canvas that holds the points [P, 2] and a margin."""
        limit = np.array(canvas.shape[1::-1])
        self._corner = np.clip(np.floor(points.min(0) - margin - 2), 0, limit).astype(int)
        x, y = np.clip(np.ceil(points.max(0) + margin + 3), 0, limit).astype(int)
        self._view = canvas[self._corner[1] : y, self._corner[0] : x]
        self._colors, self._opacity = self._view.copy(), np.zeros(self._view.shape[:2], np.float32)

    @property
    def is_empty(self) -> bool:
        """Whether it lies outside the canvas; OpenCV draws into no empty array."""
        return not self._view.size

    def _place(self, point: np.ndarray) -> tuple[int, int]:
        x, y = np.round((point - self._corner) * (1 << _SHIFT)).astype(int).tolist()
        return x, y

    def line(self, a: np.ndarray, b: np.ndarray, color: tuple[int, ...], width: float, opacity: float) -> None:
        ends, thickness = (self._place(a), self._place(b)), max(1, round(width))
        cv2.line(self._colors, *ends, color, thickness, cv2.LINE_AA, _SHIFT)
        cv2.line(self._opacity, *ends, float(opacity), thickness, cv2.LINE_8, _SHIFT)

    def disc(self, center: np.ndarray, color: tuple[int, ...], radius: float, opacity: float) -> None:
        place, fixed_radius = self._place(center), round(radius * (1 << _SHIFT))
        cv2.circle(self._colors, place, fixed_radius, color, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(self._opacity, place, fixed_radius, float(opacity), -1, cv2.LINE_8, _SHIFT)

    def blend(self) -> None:
        self._view[...] = cv2.blendLinear(self._colors, self._view.copy(), self._opacity, 1 - self._opacity)


def _draw_number(canvas: np.ndarray, poses: Poses, person: int) -> None:
    """The person's number on a tag of its colour, above its highest drawn point."""
    drawable = _drawable(poses, person)
    if not drawable.any():
        return
    points = poses.keypoints[person, drawable, :2]
    width = line_width(points, poses.boxes[person], canvas.shape[:2])
    height = float(np.clip(width * 5, max(9, max(canvas.shape[:2]) / 80), max(canvas.shape[:2]) / 20))
    text, font = str(person), cv2.FONT_HERSHEY_SIMPLEX
    stroke = max(1, round(height / 9))
    scale = cv2.getFontScaleFromHeight(font, max(6, round(height * 0.7)), stroke)
    (text_width, text_height), _ = cv2.getTextSize(text, font, scale, stroke)
    pad = max(1, round(height * 0.15))
    tag = np.array([text_width + 2 * pad, text_height + 2 * pad])
    top = points[points[:, 1].argmin()]
    corner = np.round(top - [tag[0] / 2, tag[1] + 4 * width]).astype(int)
    corner = np.clip(corner, 0, np.maximum(np.array(canvas.shape[1::-1]) - tag, 0))
    color = PERSON_COLORS[person % len(PERSON_COLORS)]
    cv2.rectangle(canvas, tuple(corner.tolist()), tuple((corner + tag).tolist()), color, -1)
    ink = DARK if np.dot(color, (0.299, 0.587, 0.114)) > 128 else (255, 255, 255)
    origin = (int(corner[0] + pad), int(corner[1] + tag[1] - pad))
    cv2.putText(canvas, text, origin, font, scale, ink, stroke, cv2.LINE_AA)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that shows itself as the last expression of a notebook's cell.

    Attributes:
        image: [H, W, 3] uint8 RGB.
    """

    image: np.ndarray

    def _repr_png_(self) -> bytes:
        return cv2.imencode(".png", cv2.cvtColor(self.image, cv2.COLOR_RGB2BGR))[1].tobytes()
