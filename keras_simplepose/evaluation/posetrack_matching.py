"""What PoseTrack's measures count in one frame: joints that are right, poses that belong together."""

from dataclasses import dataclass

import cv2
import numpy as np

from keras_simplepose.data.posetrack import FramePersons
from keras_simplepose.utils.errors import UserError

HEAD_SHARE = 0.6  # Of the head box's diagonal: the size of a head.
RIGHT_WITHIN = 0.5  # Sizes of heads.
NO_SCORE = -9999.0  # What a joint without a score is sorted by.


@dataclass(frozen=True, eq=False)
class FramePairs:
    """Ground truth and predictions of a frame.

    Attributes:
        truth_ids: [G] int64.
        truth_has: [G, K] bool, the joint is labelled.
        ids: [P] int64, of the predictions.
        has: [P, K] bool, the joint is predicted.
        scores: [P, K] float64.
        distances: [P, G, K] float64 in sizes of the ground truth's head, infinite where either lacks the joint.
    """

    truth_ids: np.ndarray
    truth_has: np.ndarray
    ids: np.ndarray
    has: np.ndarray
    scores: np.ndarray
    distances: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """[P, G, K] bool: near enough."""
        return self.distances <= RIGHT_WITHIN

    def shares(self) -> np.ndarray:
        """PCKh of every prediction as every ground truth [P, G]: right joints over labelled ones."""
        return self.right.sum(-1) / np.maximum(self.truth_has.sum(-1), 1)

    def assignment(self) -> np.ndarray:
        """For each ground truth the prediction that is it, or −1 [G].

        A prediction takes the ground truth it is most like; of several with the same, each ground truth keeps the best.
        """
        shares = self.shares()
        if not shares.size:
            return np.full(len(self.truth_ids), -1)
        own = np.arange(shares.shape[1])[None] == shares.argmax(1)[:, None]
        shares = np.where(own, shares, 0)
        return np.where(shares.max(0) > 0, shares.argmax(0), -1)


def pair_frame(truth: FramePersons, found: FramePersons, corrected: bool, where: str) -> FramePairs:
    """Measures one frame.

    Args:
        truth: the annotations.
        found: the predictions.
        corrected: joints of visibility 0 are absent; else only those at (0, 0), as in poseval.
        where: the frame, for errors.

    Raises:
        UserError: an id occurs twice among the annotations or the predictions, or a person has no head box.
    """
    for name, persons in (("annotations", truth), ("results", found)):
        numbers, counts = np.unique(persons.ids, return_counts=True)
        if (counts > 1).any():
            raise UserError(f"{where}: track {numbers[counts > 1][0]} occurs twice in the {name} of this frame")
    sides = []
    for persons in (truth, found):
        absent = persons.visible == 0
        if not corrected:
            absent &= (persons.points == 0).all(-1)
        has = ~absent & ~_inside(persons.points, truth.ignored)
        sides.append((has, has.any(1)))
    (truth_has, real), (has, kept) = sides
    sizes = HEAD_SHARE * np.hypot(truth.heads[:, 2], truth.heads[:, 3])
    if not (sizes[real] > 0).all():
        raise UserError(f"{where}: person {truth.ids[real][~(sizes[real] > 0)][0]} has no head box to measure by")
    distances = np.linalg.norm(found.points[kept][:, None] - truth.points[real][None], axis=-1)
    distances = distances / sizes[real][None, :, None]
    both = has[kept][:, None] & truth_has[real][None]
    scores = np.where(np.isnan(found.scores), NO_SCORE, found.scores)[kept]
    distances = np.where(both, distances, np.inf)
    return FramePairs(truth.ids[real], truth_has[real], found.ids[kept], has[kept], scores, distances)


def _inside(points: np.ndarray, polygons: list[np.ndarray]) -> np.ndarray:
    """Which points [N, K, 2] lie inside a polygon; its border is outside."""
    inside = np.zeros(points.shape[:2], bool)
    for polygon in polygons:
        outline = polygon.astype(np.float32)
        for person, joint in np.argwhere(~inside):
            x, y = points[person, joint].tolist()
            inside[person, joint] = cv2.pointPolygonTest(outline, (x, y), False) > 0
    return inside


def average_precision(scores: np.ndarray, right: np.ndarray, count: int) -> float:
    """Area under the monotone envelope of precision over recall, in percent; NaN without ground truth.

    Args:
        scores: [D] of the detections.
        right: [D] bool.
        count: joints in the ground truth.
    """
    if count == 0:
        return float("nan")
    hits = np.cumsum(right[np.argsort(scores, kind="stable")[::-1]])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / count
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(100 * (np.diff(recall, prepend=0.0) * envelope).sum())
