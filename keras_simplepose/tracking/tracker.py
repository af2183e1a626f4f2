"""The paper's tracker: boxes from joints moved by optical flow, poses, ids by greedy matching over several frames."""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_simplepose.config import TrackingConfig, check
from keras_simplepose.core import oks
from keras_simplepose.core.boxes import NOBODY, PersonBoxes
from keras_simplepose.core.poses import Poses, TrackedPoses
from keras_simplepose.tracking.flow import FlowEstimator, FrameFlow, Motion, make_flow
from keras_simplepose.tracking.similarity import box_iou, greedy_matches, joint_boxes, pose_similarity, suppress_boxes
from keras_simplepose.utils.errors import UserError

# From a frame, boxes [N, 4] in it and their scores [N] to a pose for each; a `PosePredictor` is one.
FindPoses = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]
# From a frame to the persons a detector finds in it.
FindPersons = Callable[[np.ndarray], PersonBoxes]


@dataclass(eq=False)
class _Instances:
    """The tracked poses of one frame in the queue; `moved` follows the flow from frame to frame."""

    ids: np.ndarray
    points: np.ndarray
    valid: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    moved: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.moved = self.points

    def __len__(self) -> int:
        return len(self.ids)

    def move(self, motion: Motion) -> None:
        self.moved = self.moved + motion(self.moved)


class PoseTracker:
    """Follows persons through the frames of one film or stream.

    The paper's algorithm. What it leaves open is a field of `TrackingConfig` each, with its reason. Of the
    similarities, bbox, pose and flow compare with the frame before alone, as the paper defines them; multi_flow
    compares with all poses of the queue, each moved along the flow of every frame since, so that a track survives a
    gap. `compare_queue` lets the others look back as far, their boxes and poses unmoved.
    """

    def __init__(
        self,
        find_poses: FindPoses | None = None,
        find_persons: FindPersons | None = None,
        config: TrackingConfig | None = None,
        flow: FlowEstimator | None = None,
    ):
        """Prepares for the first frame.

        Args:
            find_poses: a pose for each box, such as a `PosePredictor`; None if `update_poses` is given poses.
            find_persons: the detector, for frames that `update` is given no boxes for.
            config: of tracking.
            flow: optical flow to use instead of the configuration's.

        Raises:
            UserError: an option is out of range.
        """
        self.config = config or TrackingConfig()
        check(self.config)
        self._find_poses, self._find_persons, self._flow = find_poses, find_persons, flow
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the next frame is the first of another film, and ids begin at 1 again."""
        config = self.config
        needs_flow = config.propagate and self._find_poses is not None or "flow" in config.similarity
        estimator = (self._flow or make_flow(config.flow)) if needs_flow else None
        self._frames = FrameFlow(estimator, config.flow_side, config.cut_histogram, config.cut_residual)
        self._queue: deque[_Instances] = deque(maxlen=config.queue)
        self._new_ids = itertools.count(1)
        self._unseen: dict[int, int] = {}  # Frames since a detector last saw a track, by id.
        self._since_detection = 0

    def wants_detection(self) -> bool:
        """Whether the next frame is one for the detector, unless a cut makes it one (`detector_every`)."""
        return self._since_detection % self.config.detector_every == 0 or not self._queue or not len(self._queue[-1])

    def update(self, frame: np.ndarray, boxes: Any = None) -> TrackedPoses:
        """Finds and follows the persons of the next frame.

        Args:
            frame: [H, W, 3] uint8 RGB. A frame of another size than the last begins a new scene, as a cut does.
            boxes: `PersonBoxes`, or [N, 4] (x, y, width, height) in pixels; None: the detector's, if it is its turn
                (`detector_every`), else the tracks' own alone.

        Returns:
            the poses, best first, joints below `joint_threshold` marked unreliable, and their ids: unique in the frame,
            and the same in whatever order the boxes came.

        Raises:
            UserError: there is nothing to find poses with, or frame or boxes are of the wrong shape or type.
        """
        if self._find_poses is None:
            raise UserError("this tracker has nothing to find poses with; give find_poses, or call update_poses")
        frame = np.asarray(frame)
        step = self._frames.advance(frame)
        self._go_on(step.motion, step.is_cut)
        if boxes is None and self._find_persons is not None and self.wants_detection():
            boxes = self._find_persons(frame)
        if boxes is None:
            detected, self._since_detection = None, self._since_detection + 1
        else:
            detected, self._since_detection = boxes if isinstance(boxes, PersonBoxes) else PersonBoxes.of(boxes), 1
        candidates, propagated = self._candidates(detected, step.motion is not None)
        poses = self._find_poses(frame, candidates.boxes, candidates.scores)
        if len(poses) != len(candidates):
            raise UserError(f"find_poses gave {len(poses)} poses for {len(candidates)} boxes; there must be one each")
        return self._associate(poses, propagated, detected is not None, step.is_cut)

    def update_poses(
        self, poses: Poses, frame: np.ndarray | None = None, motion: Motion | None = None, is_cut: bool = False
    ) -> TrackedPoses:
        """Follows poses that are known already; nothing is propagated.

        Args:
            poses: of the next frame.
            frame: [H, W, 3] uint8 RGB, for the flow and to notice cuts; None without.
            motion: the flow from the last frame to this one, instead of the one computed from the frames.
            is_cut: the frame begins a new scene.

        Returns:
            as `update`; poses with a box score below `box_threshold` cannot be told and stay.

        Raises:
            UserError: the similarity needs a flow, and there are neither frames nor motion.
        """
        if frame is None and motion is None and "flow" in self.config.similarity and self._queue and not is_cut:
            raise UserError(f"similarity {self.config.similarity} needs frames, or their motion; or take pose or bbox")
        if frame is not None:
            step = self._frames.advance(np.asarray(frame))
            motion, is_cut = motion or step.motion, is_cut or step.is_cut
        self._go_on(motion, is_cut)
        return self._associate(poses, np.zeros(len(poses), bool), True, is_cut)

    def _go_on(self, motion: Motion | None, is_cut: bool) -> None:
        """Moves what is in the queue into the new frame, or lets go of it after a cut."""
        if is_cut:
            self._queue.clear()
            self._unseen.clear()
            self._since_detection = 0
        elif motion is not None:
            for instances in self._queue:
                if len(instances):
                    instances.move(motion)

    def _candidates(self, detected: PersonBoxes | None, moved: bool) -> tuple[PersonBoxes, np.ndarray]:
        """The detector's boxes and those of moved joints after suppression, and which of them no detector saw."""
        config = self.config
        detected = NOBODY if detected is None else detected
        strong = detected.scores >= config.box_threshold
        boxes, scores = [detected.boxes[strong].astype(np.float64)], [detected.scores[strong].astype(np.float64)]
        if config.propagate and moved and self._queue and len(self._queue[-1]):
            last = self._queue[-1]
            # Of all joints: the mean of those above a threshold is always above it, and would keep ghosts.
            means = np.where(np.isfinite(last.scores), last.scores, 0).mean(1)
            alive = np.array([self._unseen[int(person)] < config.propagation_limit for person in last.ids], bool)
            # A box without width has no area to look at.
            spanned = joint_boxes(last.moved, last.valid, config.propagation_margin)
            usable = alive & (means >= config.propagation_threshold) & (spanned[:, 2:] > 0).all(1)
            boxes, scores = [*boxes, spanned[usable]], [*scores, means[usable]]
        is_moved = np.repeat([False, True], [len(boxes[0]), sum(map(len, boxes[1:]))])
        all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
        # Equal scores by place, so that the order of the detections decides nothing.
        order = np.lexsort((*all_boxes.T[::-1], is_moved, -all_scores))
        all_boxes, all_scores, is_moved = all_boxes[order], all_scores[order], is_moved[order]
        kept, keeper = suppress_boxes(all_boxes, config.box_nms)
        seen = np.zeros(len(all_boxes), bool)
        seen[keeper[~is_moved]] = True
        found = PersonBoxes(all_boxes[kept].astype(np.float32), np.clip(all_scores[kept], 0, 1).astype(np.float32))
        return found, ~seen[kept]

    def _associate(self, poses: Poses, propagated: np.ndarray, detected: bool, is_cut: bool) -> TrackedPoses:
        """Gives the poses of this frame their ids and remembers them."""
        config, sigmas = self.config, np.array(poses.skeleton.sigmas)
        with np.errstate(invalid="ignore"):
            strong = np.isfinite(poses.keypoints).all(-1) & (poses.keypoints[..., 2] >= config.joint_threshold)
        poses, valid, propagated = _usable(poses, strong, propagated)
        areas = joint_boxes(poses.keypoints[..., :2], valid, config.propagation_margin)[:, 2:].prod(-1)
        # Suppression looks at all joints, as in evaluation; those that are not finite count as far off.
        points = np.nan_to_num(poses.keypoints[..., :2], nan=-1e6, posinf=-1e6, neginf=-1e6)
        kept, _ = oks.nms(points, areas, poses.scores, sigmas, config.pose_nms)
        # Whom a detector's box shows is seen, also where the pose of the moved box is the better of the two.
        seen = np.setdiff1d(np.flatnonzero(~propagated), kept)
        if len(seen):
            alike = oks.oks_matrix(points[seen], areas[seen], points[kept], areas[kept], sigmas)
            propagated[kept[alike.argmax(1)]] = False
        poses, valid, propagated = poses.at(kept), valid[kept], propagated[kept]
        now = _Instances(
            np.zeros(len(poses), np.int64),
            poses.keypoints[..., :2].astype(np.float64),
            valid,
            poses.keypoints[..., 2].astype(np.float64),
            poses.boxes.astype(np.float64),
        )
        tracks, similarity = self._similarities(now, sigmas)
        for row, column in greedy_matches(similarity, config.minimum_similarity):
            now.ids[column] = tracks[row]
        for column in np.flatnonzero(now.ids == 0).tolist():
            now.ids[column] = next(self._new_ids)
        self._queue.append(now)
        self._count_unseen(now.ids, propagated, detected)
        return TrackedPoses(poses, now.ids.copy(), propagated, is_cut)

    def _similarities(self, now: _Instances, sigmas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The tracks' ids [T], latest first, and how alike each is to each pose of this frame [T, N]."""
        config = self.config
        depth = config.queue if config.similarity == "multi_flow" or config.compare_queue else 1
        rows, ids = [], []
        for instances in list(self._queue)[::-1][:depth]:
            if config.similarity == "bbox":
                rows.append(box_iou(instances.boxes, now.boxes))
            else:
                points = instances.points if config.similarity == "pose" else instances.moved
                margins = (config.propagation_margin, config.common_joints)
                rows.append(pose_similarity(points, instances.valid, now.points, now.valid, sigmas, *margins))
            ids.append(instances.ids)
        if not ids:
            return np.zeros(0, np.int64), np.zeros((0, len(now)))
        every_id, every_row = np.concatenate(ids), np.concatenate(rows)
        tracks, first = np.unique(every_id, return_index=True)
        tracks = tracks[np.argsort(first)]
        best = [every_row[every_id == track].max(0) for track in tracks]
        return tracks, np.array(best).reshape(len(tracks), len(now))

    def _count_unseen(self, ids: np.ndarray, propagated: np.ndarray, detected: bool) -> None:
        live = {int(person) for instances in self._queue for person in instances.ids}
        self._unseen = {person: count for person, count in self._unseen.items() if person in live}
        for person, by_flow in zip(ids.tolist(), propagated.tolist(), strict=True):
            self._unseen[person] = self._unseen.get(person, 0) + int(detected) if by_flow else 0


def _usable(poses: Poses, strong: np.ndarray, propagated: np.ndarray) -> tuple[Poses, np.ndarray, np.ndarray]:
    """The poses that have a strong joint, in an order that follows from them alone: best first, then by place."""
    some = np.flatnonzero(strong.any(1))
    first = poses.keypoints[some].reshape(len(some), -1 if len(some) else 0)
    # Not by a score that is no number: such a pose comes last.
    scores = np.nan_to_num(poses.scores[some], nan=-np.inf)
    order = some[np.lexsort((*np.nan_to_num(first).T[::-1], *poses.boxes[some].T[::-1], -scores))]
    chosen = poses.at(order)
    marked = Poses(chosen.keypoints, chosen.scores, chosen.boxes, strong[order] & chosen.reliable, chosen.skeleton)
    return marked, strong[order], propagated[order]
