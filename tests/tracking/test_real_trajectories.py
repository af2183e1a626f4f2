"""Real trajectories of 30 films, through a simulated detector: which similarity keeps the ids."""

import numpy as np
import pytest
from tracking_scenes import box_of

from keras_simplepose.config import TrackingConfig
from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import MPII16, POSETRACK15
from keras_simplepose.data.posetrack import Film, FramePersons
from keras_simplepose.evaluation.posetrack_metrics import evaluate_films
from keras_simplepose.tracking.tracker import PoseTracker

pytest.importorskip("trackeval")
scipy_io = pytest.importorskip("scipy.io")

MISSED, FALSE = 0.1, 0.3  # Share of persons the detector misses; false persons a frame.
JITTER = 0.02  # Standard deviation of joints, in heights of the person.
FLOW_NOISE, FLOW_ERROR = 0.5, 0.1  # Of the flow: pixels, and share of the motion.
HEAD_SHARE = 0.15  # Of the height, where the head's own joints are not annotated.
# Names of MPII, by which the joints are numbered, in PoseTrack's order; there is no nose.
_NAMES = {"upper_neck": "head_bottom"}
_COLUMN = {
    number: POSETRACK15.keypoints.index(_NAMES.get(name, name))
    for number, name in enumerate(MPII16.keypoints)
    if _NAMES.get(name, name) in POSETRACK15.keypoints
}


def read_trajectories(path):
    """For each film its joints [F, N, 15, 2], NaN where a joint or a person is not annotated."""
    content = scipy_io.loadmat(path, struct_as_record=False, squeeze_me=True)
    films = []
    for sequence in content["annolist"]:
        persons = np.atleast_2d(sequence.annopoints)
        points = np.full((*persons.shape[::-1], len(POSETRACK15.keypoints), 2), np.nan)
        for (person, frame), annotated in np.ndenumerate(persons):
            for joint in np.atleast_1d(getattr(annotated, "point", [])):
                points[frame, person, _COLUMN[joint.id]] = joint.x, joint.y
        films.append(points)
    return films


def present(points):
    """Of the persons [N, 15, 2] of a frame those with enough joints to be found."""
    return np.flatnonzero(np.isfinite(points).all(-1).sum(-1) >= 5)


def height_of(points):
    known = points[np.isfinite(points).all(-1)]
    return max(float(np.ptp(known, axis=0).max()), 20.0)


def truth_of(points):
    rows = []
    for person in present(points):
        known = np.isfinite(points[person]).all(-1)
        side = HEAD_SHARE * height_of(points[person]) / 0.6 / np.sqrt(2)
        rows.append((np.nan_to_num(points[person]), known, np.full(15, np.nan), person + 1, [0, 0, side, side]))
    return FramePersons.gathered(rows, [], True)


def detect(points, rng):
    """Poses of a frame: some missing, all shaken and shuffled, some false: a pose elsewhere with faint joints."""
    persons, scores = [], []
    for person in present(points):
        if rng.random() >= MISSED:
            persons.append(points[person] + rng.normal(0, JITTER * height_of(points[person]), (15, 2)))
            scores.append(rng.uniform(0.55, 0.95))
    if rng.random() < FALSE and len(present(points)):
        persons.append(points[rng.choice(present(points))] + rng.uniform(-150, 150, 2))
        scores.append(rng.uniform(0.3, 0.6))
    order = rng.permutation(len(persons))
    keypoints = np.array([persons[row] for row in order]).reshape(-1, 15, 2)
    values = np.array([scores[row] for row in order], np.float32)
    known = np.isfinite(keypoints).all(-1)
    maxima = np.where(known, values[:, None], 0)
    boxes = np.array([box_of(each[is_known]) for each, is_known in zip(keypoints, known, strict=True)])
    return Poses(
        np.concatenate([keypoints, maxima[..., None]], -1).astype(np.float32),
        values,
        boxes.reshape(-1, 4).astype(np.float32),
        known,
        POSETRACK15,
    )


def flow_between(before, after, rng):
    """A `Motion`: every point moves as the nearest joint of anybody does, but for the flow's errors."""
    known = np.isfinite(before).all(-1) & np.isfinite(after).all(-1)
    places, ways = before[known], (after - before)[known]

    def motion(points):
        flat = np.nan_to_num(points).reshape(-1, 2)
        if not len(places):
            return np.zeros_like(points)
        nearest = np.linalg.norm(flat[:, None] - places[None], axis=-1).argmin(1)
        way = ways[nearest] * (1 + rng.normal(0, FLOW_ERROR, (len(flat), 1)))
        return (way + rng.normal(0, FLOW_NOISE, way.shape)).reshape(points.shape)

    return motion


def measure(films, **options):
    """MOTA, IDF1 and switches of one way to track; detections and flow are the same for all ways."""
    truth, found = [], []
    for number, points in enumerate(films):
        tracker = PoseTracker(config=TrackingConfig(box_threshold=0.5, **options))
        names = [f"{index:06}" for index in range(len(points))]
        results = []
        for index in range(len(points)):
            poses = detect(points[index], np.random.default_rng((number, index)))
            motion = None
            if index:
                motion = flow_between(points[index - 1], points[index], np.random.default_rng((number, index, 1)))
            results.append(tracker.update_poses(poses, motion=motion))
        truth.append(Film(str(number), dict(zip(names, map(truth_of, points), strict=True))))
        found.append(Film(str(number), dict(zip(names, map(found_of, results), strict=True))))
    result = evaluate_films(truth, found, "corrected")
    return result["total"]["mota"], result["identity"]["idf1"], result["identity"]["switches"]


def found_of(tracked):
    rows = []
    for row, person in enumerate(tracked.ids.tolist()):
        points, reliable = tracked.poses.keypoints[row], tracked.poses.reliable[row]
        rows.append((np.nan_to_num(points[:, :2]), reliable, points[:, 2], person, [np.nan] * 4))
    return FramePersons.gathered(rows, [], True)


@pytest.mark.slow
def test_poses_beat_boxes_and_a_queue_regains_gaps(shared_data):
    """The queue and the flow are told apart: bbox and pose over the queue have the one without the other."""
    films = read_trajectories(shared_data / "tracking_bonn_train" / "train_annolist.mat")
    assert len(films) == 30 and sum(len(points) for points in films) == 1_526
    ways = {similarity: {"similarity": similarity} for similarity in ("bbox", "pose", "flow", "multi_flow")}
    ways |= {f"{name} over the queue": {"similarity": name, "compare_queue": True} for name in ("bbox", "pose")}
    figures = {name: measure(films, **options) for name, options in ways.items()}
    for name, (mota, idf1, switches) in figures.items():
        print(f"{name:20} MOTA {mota:.2f}  IDF1 {idf1:.2f}  switches {switches}")
    mota, idf1, switches = ({name: values[place] for name, values in figures.items()} for place in range(3))
    assert mota["pose"] > mota["bbox"] and switches["pose"] < switches["bbox"]
    # With one frame to compare with, gaps decide nearly all; with a queue it is the similarity that does.
    boxes, poses = "bbox over the queue", "pose over the queue"
    assert mota[poses] > mota[boxes] + 0.5 and idf1[poses] > idf1[boxes] + 2 and switches[poses] < switches[boxes] / 2
    assert mota["multi_flow"] > mota["flow"] + 5 and idf1["multi_flow"] > idf1["flow"] + 40
    assert mota["multi_flow"] > mota[poses] and idf1["multi_flow"] > idf1[poses]
    assert switches["multi_flow"] < switches[poses] / 2
