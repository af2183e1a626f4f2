"""Films to track people in: rendered ones, seen by stand-ins that know the truth and spoil it, and a user's own."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.poses import Poses, TrackedPoses
from keras_simplepose.core.skeletons import COCO17, POSETRACK15, Skeleton
from keras_simplepose.data.posetrack import Film, FramePersons, read_films
from keras_simplepose.data.synthetic.films import FilmFrame
from keras_simplepose.detection.detectors import Detector
from keras_simplepose.media.source import open_source
from keras_simplepose.tracking.similarity import box_iou
from keras_simplepose.tracking.tracker import FindPoses
from keras_simplepose.utils.errors import UserError

DROPPED, FALSE_BOXES = 0.2, 0.3  # Share of boxes the detector misses; false boxes a frame.
BOX_JITTER, JOINT_JITTER = 0.04, 0.02  # Standard deviations, in sides of the box and in heights.
FOUND_FROM = 0.3  # Least IoU of a box with a person's own, for the network to find the person in it.
HEAD_SHARE = 0.18  # Side of the head's box over the height.


class Scene(Protocol):
    """A film with its truth, and what finds people in its frames.

    Attributes:
        truth: the people, by frame.
    """

    truth: Film

    def images(self) -> Iterator[np.ndarray]:
        """The frames [H, W, 3] uint8 RGB, in order."""

    def detect(self, index: int, image: np.ndarray) -> PersonBoxes:
        """The detector's boxes in a frame."""

    def find_poses(self, index: int, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Poses:
        """The poses in boxes [N, 4] of a frame."""


class RenderedScene:
    """A rendered film, with stand-ins for detector and pose network that are the same at every run."""

    def __init__(self, frames: Sequence[FilmFrame], seed: int, dropped: float = DROPPED):
        """Prepares; `dropped` is the share of boxes the detector misses."""
        self.frames, self._seed, self._dropped = frames, seed, dropped
        self.truth = Film(str(seed), {f"{index:06}": _truth(frame) for index, frame in enumerate(frames)})

    def images(self) -> Iterator[np.ndarray]:
        """As `Scene`."""
        return (frame.image for frame in self.frames)

    def detect(self, index: int, image: np.ndarray) -> PersonBoxes:
        """Some boxes are missing, all are shaken and shuffled, some are false and weak."""
        truth, rng = self.frames[index], np.random.default_rng((self._seed, index))
        boxes = truth.boxes[rng.random(len(truth.boxes)) >= self._dropped]
        boxes = boxes + rng.normal(0, BOX_JITTER, boxes.shape) * np.tile(boxes[:, 2:], 2)
        false = int(rng.random() < FALSE_BOXES)
        height, width = image.shape[:2]
        place = rng.uniform(0, 1, (false, 2)) * [width * 0.8, height * 0.5]
        boxes = np.concatenate([boxes, np.concatenate([place, np.tile([0.1 * width, 0.4 * height], (false, 1))], -1)])
        scores = np.concatenate([rng.uniform(0.55, 0.95, len(boxes) - false), rng.uniform(0.2, 0.6, false)])
        order = rng.permutation(len(boxes))
        return PersonBoxes(boxes[order].astype(np.float32), scores[order].astype(np.float32))

    def find_poses(self, index: int, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Poses:
        """The pose of the person whose box each box overlaps most; scattered weak joints where there is none."""
        truth, rng = self.frames[index], np.random.default_rng((self._seed, index, 1))
        count = len(COCO17.keypoints)
        noise = rng.normal(size=(len(boxes), count, 2))
        points = boxes[:, None, :2] + rng.random((len(boxes), count, 2)) * boxes[:, None, 2:]
        maxima = rng.uniform(0.05, 0.45, (len(boxes), count))
        if len(truth.boxes):
            overlap = box_iou(boxes, truth.boxes)
            nearest = overlap.argmax(1)
            found = overlap.max(1) >= FOUND_FROM
            own = truth.keypoints[nearest] + noise * JOINT_JITTER * truth.heights[nearest, None, None]
            points = np.where(found[:, None, None], own, points)
            strong = np.where(truth.visible[nearest], rng.uniform(0.55, 0.95, maxima.shape), 0.1)
            maxima = np.where(found[:, None], strong, maxima)
        keypoints = np.concatenate([points, maxima[..., None]], -1).astype(np.float32)
        means = (scores * maxima.mean(1)).astype(np.float32)
        return Poses(keypoints, means, np.asarray(boxes, np.float32), maxima > 0.2, COCO17)


class OwnScene:
    """A user's annotated film, with a detector and a network.

    What they found is kept, so that tracking it another way runs them on new boxes alone.
    """

    def __init__(self, video: str, annotations: str, find_poses: FindPoses, detector: Detector):
        """Reads the annotations.

        Args:
            video: a video, or a folder of frames.
            annotations: PoseTrack JSON of this film. A folder's frames are told by their names; those of a video by
                their order, so that all of them must be listed.
            find_poses: the network, such as a `PosePredictor`.
            detector: finds persons.

        Raises:
            UserError: a file cannot be read, or the annotations are of several films.
        """
        self._source, self._video = open_source(video), video
        films = read_films(annotations)
        if len(films) != 1:
            raise UserError(f"{annotations}: holds {len(films)} films; give the file of {video} alone")
        self.truth = films[0]
        self._find_poses, self._detector = find_poses, detector
        self._boxes: dict[int, PersonBoxes] = {}
        self._poses: dict[tuple[int, bytes], Poses] = {}
        self._check_frames(annotations)

    def _check_frames(self, annotations: str) -> None:
        """Brings the annotated frames into the film's order, by the names that its frames have."""
        frames = self.truth.frames
        with contextlib.closing(self._source.frames(self._on_fault)) as pictures:
            names = [frame.name.rpartition("/")[2] for frame in pictures]
        if self._source.kind != "images":
            if len(names) != len(frames):
                raise UserError(
                    f"{annotations}: lists {len(frames)} frames, {self._video} has {len(names)}; give the folder of "
                    "frames"
                )
            names = list(frames)
        missing = [name for name in frames if name not in names]
        if missing:
            raise UserError(f"{annotations}: lists frame {missing[0]}, which {self._video} does not have")
        nobody = FramePersons.gathered([], [], labelled=False)
        self.truth = replace(self.truth, frames={name: frames.get(name, nobody) for name in names})

    def _on_fault(self, message: str) -> None:
        raise UserError(message)

    def images(self) -> Iterator[np.ndarray]:
        """As `Scene`."""
        with contextlib.closing(self._source.frames(self._on_fault)) as frames:
            for frame in frames:
                yield frame.image

    def detect(self, index: int, image: np.ndarray) -> PersonBoxes:
        """As `Scene`."""
        if index not in self._boxes:
            self._boxes[index] = self._detector(image)
        return self._boxes[index]

    def find_poses(self, index: int, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Poses:
        """As `Scene`."""
        boxes = np.asarray(boxes, np.float32)
        keys = [(index, box.tobytes()) for box in boxes]
        new = [row for row, key in enumerate(keys) if key not in self._poses]
        found = self._find_poses(image, boxes[new], np.ones(len(new), np.float32))
        self._poses |= {keys[row]: found.at(np.array([place])) for place, row in enumerate(new)}
        parts = [found.at(np.zeros(0, int)), *(self._poses[key] for key in keys)]
        columns = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("keypoints", "scores", "boxes", "reliable")
        )
        keypoints, own_scores, boxes, reliable = columns
        return Poses(keypoints, own_scores * np.asarray(scores, np.float32), boxes, reliable, found.skeleton)


def found_in(tracked: TrackedPoses) -> FramePersons:
    """Tracked poses as evaluation takes them."""
    poses, columns = tracked.poses, _columns(tracked.poses.skeleton)
    rows = []
    for row, person in enumerate(tracked.ids.tolist()):
        joints = _joints(poses.keypoints[row, :, :2], poses.reliable[row], columns)
        rows.append((*joints, poses.keypoints[row][columns, 2], person, [np.nan] * 4))
    return FramePersons.gathered(rows, [], True)


def _truth(frame: FilmFrame) -> FramePersons:
    rows, columns = [], _columns(COCO17)
    for person, points, visible, height in zip(frame.ids, frame.keypoints, frame.visible, frame.heights, strict=True):
        head = [0, 0, HEAD_SHARE * height, HEAD_SHARE * height]
        rows.append((*_joints(points, visible, columns), np.full(15, np.nan), int(person), head))
    return FramePersons.gathered(rows, [], True)


def _columns(skeleton: Skeleton) -> list[int]:
    """For each of PoseTrack's joints its place in a skeleton, −1 where it has none: COCO's lacks neck and head top."""
    names = skeleton.keypoints
    return [names.index(name) if name in names else -1 for name in POSETRACK15.keypoints]


def _joints(points: np.ndarray, visible: np.ndarray, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The points in PoseTrack's order, and 1 for those that are there."""
    return points[columns], np.where(np.array(columns) >= 0, visible[columns], 0).astype(float)
