"""Persons, films and stand-in networks for the tests of tracking."""

import cv2
import numpy as np

from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import COCO17

# A standing figure in a box of 1 × 1, COCO's order.
FIGURE = np.array(
    [(0.5, 0.08), (0.55, 0.05), (0.45, 0.05), (0.6, 0.07), (0.4, 0.07), (0.75, 0.22), (0.25, 0.22), (0.85, 0.4)]
    + [
        (0.15, 0.4),
        (0.9, 0.55),
        (0.1, 0.55),
        (0.65, 0.55),
        (0.35, 0.55),
        (0.68, 0.78),
        (0.32, 0.78),
        (0.7, 1),
        (0.3, 1),
    ]
)


def standing(x, y, width=40.0, height=100.0):
    """[17, 2] joints of a person whose joints' box begins at (x, y)."""
    return np.array([x, y]) + FIGURE * [width, height]


def box_of(points):
    first, last = points.min(0), points.max(0)
    return np.concatenate([first, last - first])


def poses_of(points, scores=0.9):
    """Poses of joints [N, 17, 2] with one score for all, or a score for each person."""
    points = np.asarray(points, np.float32).reshape(-1, 17, 2)
    scores = np.broadcast_to(np.asarray(scores, np.float32), len(points))
    maxima = np.repeat(scores[:, None, None], 17, axis=1)
    boxes = np.array([box_of(person) for person in points], np.float32).reshape(-1, 4)
    return Poses(np.concatenate([points, maxima], -1), scores.copy(), boxes, np.ones((len(points), 17), bool), COCO17)


class Film:
    """Textured rectangles that move over a textured room; a stand-in network that knows where everybody is."""

    def __init__(self, places, size=(240, 320), seed=0):
        """`places` [F, N, 2]: the corner of each person in each frame."""
        rng = np.random.default_rng(seed)
        self.places, self.size = np.asarray(places, float), size
        self.room = self.texture(rng, size)
        self.clothes = [self.texture(rng, (100, 40)) for _ in range(self.places.shape[1])]

    @staticmethod
    def texture(rng, size):
        coarse = rng.integers(0, 255, (size[0] // 6 + 2, size[1] // 6 + 2, 3), np.uint8)
        return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)

    def frame(self, index):
        image = self.room.copy()
        for (x, y), clothes in zip(self.places[index], self.clothes, strict=True):
            matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
            cv2.warpAffine(clothes, matrix, self.size[::-1], image, borderMode=cv2.BORDER_TRANSPARENT)
        return image

    def joints(self, index):
        return np.array([standing(x, y) for x, y in self.places[index]])

    def boxes(self, index):
        return np.array([box_of(points) for points in self.joints(index)])

    def network(self, index):
        """Finds, in each box, the person whose middle is nearest to the box's; with faint joints if none is near."""

        def find(frame, boxes, scores):
            joints = self.joints(index)
            points, maxima = [], []
            for box in boxes:
                far = np.linalg.norm(joints.mean(1) - (box[:2] + box[2:] / 2), axis=-1)
                nearest = int(far.argmin())
                points.append(joints[nearest])
                maxima.append(0.9 if far[nearest] < 30 else 0.05)
            poses = poses_of(points, np.array(maxima))
            return Poses(poses.keypoints, scores * poses.scores, boxes, poses.reliable, COCO17)

        return find
