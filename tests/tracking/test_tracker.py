import re
from pathlib import Path

import numpy as np
import pytest
from tracking_scenes import Film, poses_of, standing

from keras_simplepose.config import TrackingConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.tracking import flow, similarity, smoothing, tracker
from keras_simplepose.tracking.tracker import PoseTracker
from keras_simplepose.utils.errors import UserError

FRAMES = 12
WALKS = np.stack([np.array([[20 + 6 * k, 60], [240 - 6 * k, 90]]) for k in range(FRAMES)]).astype(float)


class Network:
    """A film's stand-in network, which has to be told the frame."""

    def __init__(self, film):
        self.film, self.index, self.boxes = film, 0, []

    def __call__(self, frame, boxes, scores):
        self.boxes.append(PersonBoxes(boxes, scores))
        return self.film.network(self.index)(frame, boxes, scores)


def run(film, config, boxes_of, **more):
    """Tracks a film; gives (id, joints) of every frame, and the network."""
    network = Network(film)
    tracker = PoseTracker(network, config=config, **more)
    results = []
    for index in range(len(film.places)):
        network.index = index
        results.append(tracker.update(film.frame(index), boxes_of(index)))
    return results, network


def owners(film, results):
    """For each frame the id of each person of the film; 0 where not found."""
    table = np.zeros(film.places.shape[:2], int)
    for index, tracked in enumerate(results):
        for person, joints in enumerate(film.joints(index)):
            near = [np.abs(points[:, :2] - joints).max() < 1 for points in tracked.poses.keypoints]
            if any(near):
                table[index, person] = tracked.ids[near.index(True)]
    return table


@pytest.mark.parametrize("kind", ["bbox", "pose", "flow", "multi_flow"])
def test_two_who_walk_keep_their_ids(kind):
    film = Film(WALKS)
    results, _ = run(film, TrackingConfig(similarity=kind), film.boxes)
    table = owners(film, results)
    assert set(table[0]) == {1, 2}
    assert (table == table[0]).all()


def test_the_order_of_the_detections_decides_nothing():
    film, rng = Film(WALKS), np.random.default_rng(3)
    scores = np.array([0.8, 0.8, 0.8, 0.6], np.float32)
    outputs = []
    for shuffled in (False, True):

        def boxes_of(index, shuffled=shuffled):
            boxes = np.concatenate([film.boxes(index), film.boxes(index) + 2]).astype(np.float32)
            order = rng.permutation(4) if shuffled else np.arange(4)
            return PersonBoxes(boxes[order], scores[order])

        outputs.append(run(film, TrackingConfig(pose_nms=1), boxes_of)[0])
    for one, other in zip(*outputs, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.poses.keypoints, other.poses.keypoints)
        assert len(set(one.ids.tolist())) == len(one)


def test_a_missed_person_is_found_by_the_box_of_the_moved_joints():
    film = Film(WALKS)

    def boxes_of(index):
        return film.boxes(index)[: 1 if index in (4, 5, 6) else 2]

    results, network = run(film, TrackingConfig(), boxes_of)
    assert (owners(film, results) == owners(film, results)[0]).all()
    assert [result.propagated.sum() for result in results] == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
    without, _ = run(film, TrackingConfig(propagate=False), boxes_of)
    assert (owners(film, without)[4:7, 1] == 0).all()
    # The candidate: the last joints' box moved by the flow, extended by 15 % about its centre, with their mean score.
    candidates = network.boxes[4]
    moved = candidates.boxes[np.abs(candidates.boxes[:, 0] - film.boxes(4)[1, 0]).argmin()]
    x, y, width, height = film.boxes(4)[1]
    np.testing.assert_allclose(moved, [x - 0.075 * width, y - 0.075 * height, 1.15 * width, 1.15 * height], atol=1.5)
    assert 0.9 == pytest.approx(candidates.scores.min())


def test_multi_flow_survives_a_gap_that_the_frame_before_does_not():
    film = Film(WALKS)

    def boxes_of(index):
        return film.boxes(index)[: 1 if index in (4, 5, 6) else 2]

    for kind, survives in (("pose", False), ("flow", False), ("multi_flow", True)):
        results, _ = run(film, TrackingConfig(similarity=kind, propagate=False), boxes_of)
        table = owners(film, results)
        assert (table[7, 1] == table[3, 1]) == survives, kind
    results, _ = run(film, TrackingConfig(propagate=False, queue=3), boxes_of)
    assert owners(film, results)[7, 1] == 3  # Three frames back hold the gap only.


def test_who_left_stays_no_ghost():
    film = Film(WALKS[:, :1])
    config = TrackingConfig(propagation_limit=3)
    results, _ = run(film, config, lambda index: film.boxes(index)[: int(index < 4)])
    assert [len(result) for result in results[:9]] == [1, 1, 1, 1, 1, 1, 1, 0, 0]


def test_a_duplicate_of_a_moved_box_counts_as_seen():
    """Detector and flow disagree on the box, agree on the pose: one person, whom the detector sees in every frame."""
    film = Film(np.tile(WALKS[:1, :1], (FRAMES, 1, 1)))

    def boxes_of(index):
        boxes = film.boxes(index) + 95 * np.array([[0, -0.5, 0, 1]]) * bool(index)  # Twice as high.
        return PersonBoxes(boxes.astype(np.float32), np.full(1, 0.6, np.float32))

    results, network = run(film, TrackingConfig(propagation_limit=2), boxes_of)
    assert [len(boxes) for boxes in network.boxes[1:]] == [2] * (FRAMES - 1)
    assert [result.ids.tolist() for result in results] == [[1]] * FRAMES
    assert not any(result.propagated.any() for result in results)


def test_a_queue_is_compared_with_on_request_whatever_the_similarity():
    film = Film(np.tile(WALKS[:1], (FRAMES, 1, 1)))  # All stand still, so that no flow is needed.

    def boxes_of(index):
        return film.boxes(index)[: 1 if index in (4, 5) else 2]

    for kind in ("bbox", "pose", "flow"):
        for whole, survives in ((False, False), (True, True)):
            config = TrackingConfig(similarity=kind, propagate=False, compare_queue=whole)
            table = owners(film, run(film, config, boxes_of)[0])
            assert (table[6, 1] == table[3, 1]) == survives, kind
    with pytest.raises(UserError, match="compare_queue has no effect"):
        PoseTracker(config=TrackingConfig(compare_queue=True))


def test_faint_joints_are_not_propagated_and_an_empty_place_is_left():
    film = Film(WALKS[:, :1])
    for threshold, expected in ((0.95, 0), (0.85, 1)):
        results, _ = run(
            film, TrackingConfig(propagation_threshold=threshold), lambda index: film.boxes(index)[: int(index < 4)]
        )
        assert len(results[4]) == expected


def test_detector_every_fourth_frame():
    film, asked = Film(WALKS), []
    network = Network(film)

    def detect(frame):
        asked.append(network.index)
        return PersonBoxes.of(film.boxes(network.index))

    tracker, results = PoseTracker(network, detect, TrackingConfig(detector_every=4)), []
    for index in range(FRAMES):
        network.index = index
        results.append(tracker.update(film.frame(index)))
    assert asked == [0, 4, 8]
    assert (owners(film, results) == owners(film, results)[0]).all()


def test_the_detector_runs_as_long_as_there_is_nobody():
    film, asked = Film(WALKS), []
    network = Network(film)

    def detect(frame):
        asked.append(network.index)
        return PersonBoxes.of(film.boxes(network.index)[: int(network.index > 1)])

    tracker = PoseTracker(network, detect, TrackingConfig(detector_every=4))
    for index in range(8):
        network.index = index
        tracker.update(film.frame(index))
    assert asked == [0, 1, 2, 6]


def test_a_cut_begins_new_tracks_and_ids_go_on():
    first, second = Film(WALKS, seed=0), Film(WALKS, seed=9)
    tracker = PoseTracker(first.network(0))
    tracker.update(first.frame(0), first.boxes(0))
    result = tracker.update(255 - second.frame(0) // 3, first.boxes(0))
    assert result.is_cut
    assert sorted(result.ids.tolist()) == [3, 4]
    tracker.reset()
    assert sorted(tracker.update(first.frame(0), first.boxes(0)).ids.tolist()) == [1, 2]


def test_a_frame_of_another_size_is_a_new_scene():
    film = Film(WALKS)
    tracker = PoseTracker(film.network(0))
    tracker.update(film.frame(0), film.boxes(0))
    result = tracker.update(np.ascontiguousarray(film.frame(0)[:200]), film.boxes(0))
    assert result.is_cut and sorted(result.ids.tolist()) == [3, 4]


def test_nobody_for_many_frames():
    film = Film(WALKS)
    tracker = PoseTracker(film.network(0))
    tracker.update(film.frame(0), film.boxes(0))
    counts = [len(tracker.update(film.room, [])) for _ in range(30)]
    assert counts[-1] == 0
    assert tracker.update(film.frame(0), film.boxes(0)).ids.tolist() == [3, 4]


def test_hundreds_of_boxes():
    rng = np.random.default_rng(0)
    points = np.array([standing(*place) for place in rng.uniform(0, 3000, (400, 2))])
    tracker = PoseTracker(config=TrackingConfig(similarity="pose"))
    first = tracker.update_poses(poses_of(points))
    second = tracker.update_poses(poses_of(points[::-1] + 1))
    assert len(set(first.ids.tolist())) == len(first) > 350
    assert set(second.ids.tolist()) == set(first.ids.tolist())


def test_joints_that_are_no_numbers():
    points = np.array([standing(0, 0), standing(200, 0), standing(400, 0)])
    tracker = PoseTracker(config=TrackingConfig(similarity="pose"))
    first = tracker.update_poses(poses_of(points))
    poses = poses_of(points)
    poses.keypoints[0, :8, :2], poses.keypoints[1, :, :2] = np.nan, np.inf
    second = tracker.update_poses(poses)
    damaged = first.ids[first.poses.boxes[:, 0].argmin()]
    assert not second.poses.reliable[second.ids == damaged, :8].any()
    assert len(second) == 2  # A pose without a joint is none.
    assert set(second.ids.tolist()) < set(first.ids.tolist())


def test_weak_joints_and_boxes_are_dropped():
    film = Film(WALKS)
    tracker = PoseTracker(film.network(0))
    result = tracker.update(film.frame(0), PersonBoxes(film.boxes(0).astype(np.float32), np.array([0.49, 0.5])))
    assert len(result) == 1
    poses = poses_of([standing(0, 0)])
    poses.keypoints[0, :3, 2] = 0.39
    tracked = PoseTracker(config=TrackingConfig(similarity="pose")).update_poses(poses)
    assert tracked.poses.reliable[0].tolist() == [False] * 3 + [True] * 14


def test_two_poses_of_one_person_become_one():
    tracker = PoseTracker(config=TrackingConfig(similarity="pose"))
    assert len(tracker.update_poses(poses_of([standing(0, 0), standing(0.5, 0)], [0.9, 0.8]))) == 1


def test_given_poses_with_the_true_motion():
    tracker = PoseTracker(config=TrackingConfig(similarity="flow"))
    before = tracker.update_poses(poses_of([standing(0, 0), standing(60, 0)]))
    jump = np.array([60.0, 0])
    after = tracker.update_poses(poses_of([standing(60, 0), standing(120, 0)]), motion=lambda points: 0 * points + jump)
    places = [dict(zip(x.ids.tolist(), x.poses.keypoints[:, 0, 0].tolist(), strict=True)) for x in (before, after)]
    assert {person: x + 60 for person, x in places[0].items()} == places[1]


def test_similarities_by_flow_need_frames():
    tracker = PoseTracker()
    tracker.update_poses(poses_of([standing(0, 0)]))
    with pytest.raises(UserError, match="needs frames"):
        tracker.update_poses(poses_of([standing(0, 0)]))
    with pytest.raises(UserError, match="nothing to find poses with"):
        tracker.update(np.zeros((9, 9, 3), np.uint8))


def test_a_network_that_gives_another_number_of_poses_is_refused():
    tracker = PoseTracker(lambda frame, boxes, scores: poses_of([]))
    with pytest.raises(UserError, match="0 poses for 1 boxes"):
        tracker.update(np.zeros((200, 200, 3), np.uint8), [[0, 0, 50, 50]])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("minimum_similarity", 1.1),
        ("minimum_similarity", 0),
        ("box_nms", -0.1),
        ("joint_threshold", float("nan")),
        ("queue", 0),
        ("detector_every", 0),
        ("cut_residual", -1.0),
    ],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(UserError, match=option):
        PoseTracker(config=TrackingConfig(**{option: value}))


def test_seldom_detection_takes_propagation():
    with pytest.raises(UserError, match="detector_every"):
        PoseTracker(config=TrackingConfig(detector_every=2, propagate=False))


def test_tracking_needs_no_tensorflow():
    for module in (tracker, flow, similarity, smoothing):
        imported = Path(module.__file__).read_text()
        assert not re.search(
            r"^\s*(from|import) (tensorflow|keras|keras_simplepose\.(prediction|models))\b", imported, re.M
        )
