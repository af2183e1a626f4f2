"""How well and how fast people are tracked in rendered films: the paper's table, and a sweep of thresholds.

Detector and pose network are stand-ins that know the truth and spoil it: what is measured is the tracker.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from keras_simplepose.benchmarks.rows import Row
from keras_simplepose.config import BenchmarkConfig, TrackingConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.poses import Poses, TrackedPoses
from keras_simplepose.core.skeletons import COCO17, POSETRACK15
from keras_simplepose.data.posetrack import Film, FramePersons
from keras_simplepose.data.synthetic.films import FilmFrame, render_film
from keras_simplepose.evaluation.posetrack_metrics import evaluate_films
from keras_simplepose.tracking.similarity import box_iou
from keras_simplepose.tracking.tracker import PoseTracker

SEEDS = (0, 1)
DROPPED, FALSE_BOXES = 0.2, 0.3  # Share of boxes the detector misses; false boxes a frame.
BOX_JITTER, JOINT_JITTER = 0.04, 0.02  # Standard deviations, in sides of the box and in heights.
FOUND_FROM = 0.3  # Least IoU of a box with a person's own, for the network to find the person in it.
HEAD_SHARE = 0.18  # Side of the head's box over the height.
SIMILARITIES: tuple[Literal["bbox", "pose", "flow", "multi_flow"], ...] = ("bbox", "pose", "flow", "multi_flow")
SWEPT = {"box_threshold": (0.1, 0.3, 0.5, 0.7), "joint_threshold": (0.1, 0.3, 0.5, 0.7)}
_COLUMNS = [COCO17.keypoints.index(name) if name in COCO17.keypoints else -1 for name in POSETRACK15.keypoints]


class StandIn:
    """A detector and a pose network for one film, the same at every run."""

    def __init__(self, frames: Sequence[FilmFrame], seed: int, dropped: float = DROPPED):
        """Prepares; `dropped` is the share of boxes the detector misses."""
        self.frames, self._seed, self._dropped, self.index = frames, seed, dropped, 0

    def detect(self, _: np.ndarray) -> PersonBoxes:
        """The boxes of the frame `index`: some missing, all shaken and shuffled, some false and weak."""
        truth, rng = self.frames[self.index], np.random.default_rng((self._seed, self.index))
        boxes = truth.boxes[rng.random(len(truth.boxes)) >= self._dropped]
        boxes = boxes + rng.normal(0, BOX_JITTER, boxes.shape) * np.tile(boxes[:, 2:], 2)
        false = int(rng.random() < FALSE_BOXES)
        height, width = truth.image.shape[:2]
        place = rng.uniform(0, 1, (false, 2)) * [width * 0.8, height * 0.5]
        boxes = np.concatenate([boxes, np.concatenate([place, np.tile([0.1 * width, 0.4 * height], (false, 1))], -1)])
        scores = np.concatenate([rng.uniform(0.55, 0.95, len(boxes) - false), rng.uniform(0.2, 0.6, false)])
        order = rng.permutation(len(boxes))
        return PersonBoxes(boxes[order].astype(np.float32), scores[order].astype(np.float32))

    def find_poses(self, _: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Poses:
        """The pose of the person whose box each box overlaps most; scattered weak joints where there is none."""
        truth, rng = self.frames[self.index], np.random.default_rng((self._seed, self.index, 1))
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


def run_tracker(stand_in: StandIn, config: TrackingConfig) -> tuple[list[TrackedPoses], float]:
    """Tracks a film; gives the results and the seconds spent, detector and network left out."""
    network = _Timed(stand_in)
    tracker, results, spent = PoseTracker(network, None, config), [], 0.0
    for index, frame in enumerate(stand_in.frames):
        stand_in.index = index
        boxes = stand_in.detect(frame.image) if tracker.wants_detection() else None
        start = time.perf_counter()
        results.append(tracker.update(frame.image, boxes))
        spent += time.perf_counter() - start
    return results, spent - network.seconds


class _Timed:
    """The stand-in network, and the seconds it took."""

    def __init__(self, stand_in: StandIn):
        self._stand_in, self.seconds = stand_in, 0.0

    def __call__(self, frame: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Poses:
        start = time.perf_counter()
        try:
            return self._stand_in.find_poses(frame, boxes, scores)
        finally:
            self.seconds += time.perf_counter() - start


def measure(runs: Sequence[tuple[Sequence[FilmFrame], list[TrackedPoses]]]) -> dict[str, float]:
    """mAP, MOTA, recall, IDF1 in percent and the switches of films with what was tracked in them."""
    truth, found = [], []
    for number, (frames, results) in enumerate(runs):
        names = [f"{index:06}" for index in range(len(frames))]
        truth.append(Film(str(number), dict(zip(names, map(_truth, frames), strict=True))))
        found.append(Film(str(number), dict(zip(names, map(_found, results), strict=True))))
    result = evaluate_films(truth, found, "corrected")
    identity = result["identity"]
    total = {name: result["total"][name] for name in ("ap", "mota", "recall")}
    return total | {"idf1": identity["idf1"], "switches": identity["switches"]}


def _truth(frame: FilmFrame) -> FramePersons:
    rows = []
    for person, points, visible, height in zip(frame.ids, frame.keypoints, frame.visible, frame.heights, strict=True):
        head = [0, 0, HEAD_SHARE * height, HEAD_SHARE * height]
        rows.append((*_joints(points, visible), np.full(15, np.nan), int(person), head))
    return FramePersons.gathered(rows, [], True)


def _found(tracked: TrackedPoses) -> FramePersons:
    rows = []
    for row, person in enumerate(tracked.ids.tolist()):
        points, reliable = tracked.poses.keypoints[row], tracked.poses.reliable[row]
        rows.append((*_joints(points[:, :2], reliable), points[_COLUMNS, 2], person, [np.nan] * 4))
    return FramePersons.gathered(rows, [], True)


def _joints(points: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points in PoseTrack's order, and 1 for those that are there: COCO has neither neck nor head top."""
    return points[_COLUMNS], np.where(np.array(_COLUMNS) >= 0, visible[_COLUMNS], 0).astype(float)


def tracking_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """The paper's table on rendered films: with and without propagation × four similarities; thresholds; speed.

    Yields:
        "tracking/SIMILARITY/moved|plain/MEASURE"; "tracking/every_N/…" for a detector on every Nth frame;
        "tracking/BOX-THRESHOLD/JOINT-THRESHOLD/mota"; "tracking/frames", frames a second of 640×480 with five people,
        flow included, detector and network left out.
    """
    films = [(seed, list(render_film(seed, config.tracking_frames))) for seed in SEEDS]

    def run(options: TrackingConfig) -> tuple[dict[str, float], float]:
        runs = [(frames, run_tracker(StandIn(frames, seed), options)) for seed, frames in films]
        spent = sum(seconds for _, (_, seconds) in runs)
        return measure([(frames, results) for frames, (results, _) in runs]), spent

    spent = 0.0
    for similarity, moved in itertools.product(SIMILARITIES, (False, True)):
        figures, spent = run(TrackingConfig(similarity=similarity, propagate=moved))
        for name, value in figures.items():
            unit = "switches" if name == "switches" else "percent"
            yield Row(f"tracking/{similarity}/{'moved' if moved else 'plain'}/{name}", round(value, 2), unit)
    yield Row("tracking/frames", round(len(SEEDS) * config.tracking_frames / spent, 1), "frames/s")
    for every in (2, 5, 10):
        figures, spent = run(TrackingConfig(detector_every=every))
        yield Row(f"tracking/every_{every}/mota", round(figures["mota"], 2), "percent")
    for values in itertools.product(*SWEPT.values()):
        figures, _ = run(TrackingConfig(box_threshold=values[0], joint_threshold=values[1]))
        yield Row(f"tracking/box_{values[0]}/joint_{values[1]}/mota", round(figures["mota"], 2), "percent")
