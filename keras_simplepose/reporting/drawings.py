"""Persons cut out of photographs and drawn, ground truth and prediction, as data that a page can hold."""

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.persons import Person
from keras_simplepose.media.images import encode_jpeg
from keras_simplepose.reporting.error_kinds import INVERSION, JITTER, MISS, SWAP, points_of
from keras_simplepose.viz.drawing import draw_poses, line_width

# RGB of the rings around erroneous keypoints; the same as the bars' and labels' colours in charts and pages.
KIND_COLORS = {JITTER: (240, 228, 66), INVERSION: (204, 121, 167), SWAP: (0, 158, 115), MISS: (213, 94, 0)}
CROP_SIDE = 260  # Pixels of the longer side.
CROP_MARGIN = 0.15  # Of the persons' extent, on each side.
REACH = 1.0  # A prediction is shown up to so many sizes of the person away from it.
JPEG_QUALITY = 78
_FAINT = 0.2  # Predicted points below this do not count in a pose's score; they are drawn all the same, and faintly.


def truth_poses(persons: Sequence[Person], skeleton: Skeleton) -> Poses:
    """Annotated persons as poses of score 1, their labelled keypoints only."""
    labelled = np.array([each.visible > 0 for each in persons], bool).reshape(len(persons), len(skeleton.keypoints))
    points = np.array([each.keypoints for each in persons], np.float32).reshape(*labelled.shape, 2)
    boxes = np.array([each.box for each in persons], np.float32).reshape(-1, 4)
    keypoints = np.concatenate([points, labelled[..., None].astype(np.float32)], axis=2)
    return Poses(keypoints, np.ones(len(persons), np.float32), boxes, labelled, skeleton)


def result_poses(results: Sequence[dict[str, Any]], skeleton: Skeleton) -> Poses:
    """COCO results as poses, all their keypoints, each in the box of its points."""
    keypoints = np.array([points_of(each) for each in results], np.float32)
    keypoints = keypoints.reshape(len(results), len(skeleton.keypoints), 3)
    low, high = keypoints[..., :2].min(1), keypoints[..., :2].max(1)
    scores = np.array([each["score"] for each in results], np.float32)
    reliable = np.ones(keypoints.shape[:2], bool)
    return Poses(keypoints, scores, np.concatenate([low, high - low], axis=1), reliable, skeleton)


def window(image: np.ndarray, truth: Poses, found: Poses) -> tuple[int, int, int, int]:
    """What to cut out of an image to see a person's box, labelled points and prediction: (x, y, width, height)."""
    height, width = image.shape[:2]
    parts = [np.array([[x, y], [x + w, y + h]]) for x, y, w, h in (truth if len(truth) else found).boxes]
    parts += [points[reliable, :2] for points, reliable in zip(truth.keypoints, truth.reliable, strict=True)]
    extent = np.concatenate(parts)
    low, high = extent.min(0), extent.max(0)
    reach = (high - low).max() * REACH
    if len(found):
        points = np.clip(found.keypoints[..., :2].reshape(-1, 2), low - reach, high + reach)
        low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    margin = max(4.0, CROP_MARGIN * float((high - low).max()))
    limit = np.array([width, height])
    first = np.clip(np.floor(low - margin), 0, limit - 1).astype(int)
    last = np.clip(np.ceil(high + margin), first + 1, limit).astype(int)
    return int(first[0]), int(first[1]), int(last[0] - first[0]), int(last[1] - first[1])


def cut(image: np.ndarray, frame: tuple[int, int, int, int], side: int) -> tuple[np.ndarray, float]:
    """A part of an image scaled so that its longer side has `side` pixels, and the scale."""
    x, y, width, height = frame
    scale = side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image[y : y + height, x : x + width], size, interpolation=method), scale


def draw(
    image: np.ndarray,
    poses: Poses,
    frame: tuple[int, int, int, int],
    side: int,
    kinds: np.ndarray | None = None,
) -> np.ndarray:
    """Draws poses into a part of an image.

    Args:
        image: [H, W, 3] uint8 RGB.
        poses: in its pixels.
        frame: the part (x, y, width, height).
        side: of the drawing's longer side, in pixels.
        kinds: [K] of the first pose; erroneous keypoints get a ring of their kind's colour.

    Returns:
        [h, w, 3] uint8 RGB.
    """
    pixels, scale = cut(image, frame, side)
    keypoints = poses.keypoints.astype(np.float32).copy()
    keypoints[..., :2] = (keypoints[..., :2] - frame[:2] + 0.5) * scale - 0.5  # Pixels' middles stay where they are.
    keypoints[..., 2] = np.maximum(keypoints[..., 2], _FAINT)
    boxes = poses.boxes * scale
    moved = Poses(keypoints, poses.scores, boxes, poses.reliable, poses.skeleton)
    drawn = draw_poses(pixels, moved)
    if kinds is not None:
        radius = max(5, round(2.6 * line_width(keypoints[0, :, :2], boxes[0], pixels.shape[:2])))
        for place, kind in enumerate(kinds.tolist()):
            if kind in KIND_COLORS:
                center = tuple(np.clip(keypoints[0, place, :2], -9999, 9999).round().astype(int).tolist())
                cv2.circle(drawn, center, radius + 1, (20, 20, 20), 4, cv2.LINE_AA)
                cv2.circle(drawn, center, radius, KIND_COLORS[kind], 2, cv2.LINE_AA)
    return drawn


def whole(image: np.ndarray) -> tuple[int, int, int, int]:
    """The frame of all of an image."""
    return 0, 0, image.shape[1], image.shape[0]


def data_uri(image: np.ndarray, quality: int = JPEG_QUALITY) -> str:
    """An image [H, W, 3] uint8 RGB as a JPEG that stands in the page itself."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, quality)).decode("ascii")
