"""The result of prediction and tracking, which what draws and writes poses shares with what finds them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.utils.errors import UserError

if TYPE_CHECKING:
    from supervision import KeyPoints


@dataclass(frozen=True)
class Poses:
    """The poses found in one image.

    Attributes:
        keypoints: [N, K, 3] float32 (x, y, score): image pixels, and the heatmap's maximum.
        scores: [N] float32, box score × mean of the maxima above the threshold.
        boxes: [N, 4] float32 (x, y, width, height) in image pixels, as given.
        reliable: [N, K] bool, the point's score exceeds the threshold and it lies inside the image.
        skeleton: of the keypoints.

    Example:
        >>> import numpy as np
        >>> from keras_simplepose import Poses, load_skeleton
        >>> nobody = Poses(
        ...     np.zeros((0, 17, 3)), np.zeros(0), np.zeros((0, 4)), np.zeros((0, 17), bool), load_skeleton("coco17")
        ... )
        >>> len(nobody)
        0
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    reliable: np.ndarray
    skeleton: Skeleton

    def __len__(self) -> int:
        """The number of persons."""
        return len(self.keypoints)

    def to_supervision(self) -> "KeyPoints":
        """The poses as `supervision.KeyPoints`, for its annotators; `reliable` becomes its `visible`.

        Its `data` holds the boxes [N, 4] as `xyxy` (x, y of two corners) and the name `class_name`.

        Raises:
            UserError: supervision is not installed.
        """
        try:
            from supervision import KeyPoints
        except ImportError as error:
            raise UserError("supervision is not installed; pip install 'keras_simplepose[supervision]'") from error
        return KeyPoints(
            xy=np.asarray(self.keypoints[:, :, :2], np.float32),
            class_id=np.zeros(len(self), int),
            keypoint_confidence=np.asarray(self.keypoints[:, :, 2], np.float32),
            detection_confidence=np.asarray(self.scores, np.float32),
            visible=np.asarray(self.reliable, bool),
            data={
                "class_name": np.full(len(self), "person"),
                "xyxy": np.column_stack([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]]).astype(np.float32),
            },
        )

    def at(self, indices: np.ndarray) -> "Poses":
        """Some of the persons, in the order of `indices` [M] (numbers, or a mask of all N)."""
        return replace(
            self,
            keypoints=self.keypoints[indices],
            scores=self.scores[indices],
            boxes=self.boxes[indices],
            reliable=self.reliable[indices],
        )


@dataclass(frozen=True)
class TrackedPoses:
    """The poses of one frame of a film, each with the id of its person.

    Attributes:
        poses: N poses.
        ids: [N] int64, from 1; each occurs once in a frame, and belongs to one person through all frames.
        propagated: [N] bool, no detector saw the person: its box comes from the frame before.
        is_cut: the frame begins a new scene, so that no person before it is taken for one after it.
    """

    poses: Poses
    ids: np.ndarray
    propagated: np.ndarray
    is_cut: bool = False

    def __len__(self) -> int:
        """The number of persons."""
        return len(self.ids)
