import numpy as np
import pytest
from tracking_scenes import standing

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.tracking.similarity import box_iou, greedy_matches, joint_boxes, pose_similarity, suppress_boxes

SIGMAS = np.array(COCO17.sigmas)
ALL = np.ones((1, 17), bool)


def test_iou_of_known_boxes():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5], [0, 0, 0, 0]])
    expected = [[1, 50 / 150, 0, 0], [50 / 150, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(box_iou(boxes, boxes), expected)
    assert box_iou(np.zeros((0, 4)), boxes).shape == (0, 4)


def test_weaker_duplicates_are_dropped_and_point_to_the_box_that_stands_for_them():
    kept, keeper = suppress_boxes(np.array([[0, 0, 10, 10], [1, 0, 10, 10], [30, 0, 10, 10], [0, 0, 0, 5]]), 0.5)
    assert kept.tolist() == [0, 2, 3]
    assert keeper.tolist() == [0, 0, 2, 3]


def test_a_dropped_box_drops_no_other():
    """A row of boxes, each overlapping the next: the third does not overlap the first, and stays."""
    kept, _ = suppress_boxes(np.array([[0, 0, 10, 10], [3, 0, 10, 10], [6, 0, 10, 10]]), 0.5)
    assert kept.tolist() == [0, 2]


def test_the_box_of_joints_is_extended_about_its_centre():
    points = np.array([[[10.0, 20], [30, 60], [999, 999]]])
    box = joint_boxes(points, np.array([[True, True, False]]), 0.15)[0]
    np.testing.assert_allclose(box, [10 - 1.5, 20 - 3, 23, 46])
    np.testing.assert_allclose(box[:2] + box[2:] / 2, [20, 40])


def test_the_box_of_no_joint_is_none():
    assert np.isnan(joint_boxes(np.zeros((1, 2, 2)), np.zeros((1, 2), bool), 0.15)).all()
    assert joint_boxes(np.zeros((0, 2, 2)), np.zeros((0, 2), bool), 0.15).shape == (0, 4)


def test_pose_similarity_by_hand():
    a, b = standing(0, 0)[None], standing(3, 4)[None]
    area = 0.8 * 40 * 0.95 * 100 * 1.15**2
    expected = np.exp(-25 / (2 * area * (2 * SIGMAS) ** 2)).mean()
    assert pose_similarity(a, ALL, b, ALL, SIGMAS, 0.15, 3)[0, 0] == pytest.approx(expected)


def test_only_joints_seen_in_both_count_and_enough_of_them_must():
    a, b = standing(0, 0)[None], standing(0, 0)[None].copy()
    b[0, :10] = np.nan
    valid = np.isfinite(b).all(-1)
    assert pose_similarity(a, ALL, b, valid, SIGMAS, 0.15, 7)[0, 0] == pytest.approx(1)
    assert pose_similarity(a, ALL, b, valid, SIGMAS, 0.15, 8)[0, 0] == 0


def test_matching_is_one_to_one_from_the_highest():
    similarity = np.array([[0.9, 0.8], [0.85, 0.1], [0.2, 0.79]])
    assert greedy_matches(similarity, 0.3) == [(0, 0), (2, 1)]
    assert greedy_matches(similarity, 0.8) == [(0, 0)]
    assert greedy_matches(np.zeros((0, 3)), 0.1) == []


def test_equals_are_taken_in_order():
    assert greedy_matches(np.full((2, 2), 0.5), 0.5) == [(0, 0), (1, 1)]
