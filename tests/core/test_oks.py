import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval

from keras_simplepose.core.oks import nms, oks_matrix, pose_scores, soft_nms
from keras_simplepose.core.skeletons import COCO17

SIGMAS = np.array(COCO17.sigmas)
seeds = st.integers(0, 2**32 - 1)


def poses(seed, count, spread=8.0):
    """Poses near one another, so that some suppress others."""
    random = np.random.default_rng(seed)
    base = random.uniform(0, 200, (1, 17, 2))
    keypoints = base + random.normal(0, spread, (count, 1, 2)) + random.normal(0, spread / 4, (count, 17, 2))
    return keypoints, random.uniform(2000, 9000, count), random.uniform(0.1, 1, count)


def pycocotools_oks(detections, truth, area):
    evaluation = COCOeval(iouType="keypoints")
    visible = np.column_stack([truth, np.full(17, 2)]).ravel()
    evaluation._gts[1, 1] = [{"keypoints": visible, "bbox": [0, 0, 1, 1], "area": area}]
    padded = [np.column_stack([each, np.ones(17)]).ravel() for each in detections]
    evaluation._dts[1, 1] = [{"keypoints": each, "score": -index} for index, each in enumerate(padded)]
    return evaluation.computeOks(1, 1)[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_oks_is_that_of_pycocotools(seed):
    keypoints, areas, _ = poses(seed, 6)
    ours = oks_matrix(keypoints[1:], np.full(5, areas[0]), keypoints[:1], areas[:1], SIGMAS)[:, 0]
    expected = pycocotools_oks(keypoints[1:], keypoints[0], areas[0])
    np.testing.assert_allclose(ours, expected, rtol=1e-10)
    assert 0.01 < expected.min() and expected.max() < 0.999  # Neither all alike nor all apart.


def test_the_scale_of_a_pair_is_the_mean_of_its_areas():
    keypoints, _, _ = poses(0, 2)
    mixed = oks_matrix(keypoints[:1], np.array([1000.0]), keypoints[1:], np.array([3000.0]), SIGMAS)
    same = oks_matrix(keypoints[:1], np.array([2000.0]), keypoints[1:], np.array([2000.0]), SIGMAS)
    assert mixed == pytest.approx(same)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 8))
def test_oks_of_a_pose_with_itself_is_1_and_oks_is_symmetric(seed, count):
    keypoints, areas, _ = poses(seed, count)
    matrix = oks_matrix(keypoints, areas, keypoints, areas, SIGMAS)
    np.testing.assert_allclose(np.diag(matrix), 1)
    np.testing.assert_allclose(matrix, matrix.T)
    assert (matrix >= 0).all() and (matrix <= 1).all()


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 10), st.floats(0.05, 0.95))
def test_nms_keeps_the_best_leaves_no_duplicates_and_is_idempotent(seed, count, threshold):
    keypoints, areas, scores = poses(seed, count)
    kept, kept_scores = nms(keypoints, areas, scores, SIGMAS, threshold)
    assert kept[0] == scores.argmax()
    np.testing.assert_array_equal(kept_scores, scores[kept])
    assert (np.diff(kept_scores) <= 0).all()
    matrix = oks_matrix(keypoints, areas, keypoints, areas, SIGMAS)
    assert (matrix[np.ix_(kept, kept)] - np.eye(len(kept)) <= threshold).all()
    for index in set(range(count)) - set(kept):
        better = [other for other in kept if scores[other] >= scores[index]]
        assert matrix[index, better].max() > threshold
    again, _ = nms(keypoints[kept], areas[kept], kept_scores, SIGMAS, threshold)
    np.testing.assert_array_equal(again, np.arange(len(kept)))


def test_nms_drops_above_the_threshold_only():
    keypoints, areas, _ = poses(3, 2)
    similarity = oks_matrix(keypoints, areas, keypoints, areas, SIGMAS)[0, 1]
    scores = np.array([0.4, 0.6])
    assert list(nms(keypoints, areas, scores, SIGMAS, similarity)[0]) == [1, 0]
    assert list(nms(keypoints, areas, scores, SIGMAS, similarity - 1e-9)[0]) == [1]


def slow_soft_nms(keypoints, areas, scores, threshold, keep):
    """The definition, one pair at a time: which are kept, in order."""
    rest = {index: float(score) for index, score in enumerate(scores)}
    chosen = []
    while rest and len(chosen) < keep:
        best = max(rest, key=rest.get)
        del rest[best]
        chosen.append(best)
        for index in rest:
            area = (areas[best] + areas[index]) / 2
            squared = ((keypoints[best] - keypoints[index]) ** 2).sum(1)
            similarity = sum(np.exp(-d / (2 * area * (2 * s) ** 2)) for d, s in zip(squared, SIGMAS, strict=True)) / 17
            rest[index] *= np.exp(-(similarity**2) / threshold)
    return chosen


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 10), st.floats(0.3, 0.95), st.integers(1, 12))
def test_soft_nms_is_its_definition(seed, count, threshold, keep):
    keypoints, areas, scores = poses(seed, count)
    before = scores.copy()
    kept, kept_scores = soft_nms(keypoints, areas, scores, SIGMAS, threshold, keep)
    assert list(kept) == slow_soft_nms(keypoints, areas, scores, threshold, keep)
    np.testing.assert_array_equal(scores, before)
    np.testing.assert_array_equal(kept_scores, before[kept])


def test_soft_nms_chooses_by_lowered_scores_and_keeps_the_original_ones():
    """A copy of the best comes after a weaker pose that stands apart, and still has its higher score."""
    keypoints, areas, _ = poses(0, 1)
    keypoints = np.concatenate([keypoints, keypoints, keypoints + 1000])
    kept, scores = soft_nms(keypoints, np.repeat(areas, 3), np.array([0.9, 0.8, 0.5]), SIGMAS, 0.9, 20)
    assert list(kept) == [0, 2, 1] and list(scores) == [0.9, 0.5, 0.8]


def test_of_equal_scores_the_later_pose_comes_first():
    """The soft variant sorts the rest anew after each choice, which turns equal ones round, as in the release."""
    keypoints, areas, _ = poses(0, 1)
    keypoints = np.concatenate([keypoints, keypoints, keypoints + 1000, keypoints + 1000])
    arguments = keypoints, np.repeat(areas, 4), np.array([0.5, 0.5, 0.7, 0.7]), SIGMAS, 0.9
    assert list(nms(*arguments)[0]) == [3, 1]
    assert list(soft_nms(*arguments, 2)[0]) == [3, 0]


def test_no_poses_are_no_poses():
    nothing = np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0), SIGMAS, 0.9
    assert [len(part) for part in nms(*nothing)] == [0, 0]
    assert [len(part) for part in soft_nms(*nothing, 20)] == [0, 0]


def test_a_pose_scores_by_the_maxima_that_exceed_the_threshold():
    maxima = np.array([[0.2, 0.4, 0.8], [0.1, 0.2, 0.0], [0.9, 0.9, 0.9]])
    np.testing.assert_allclose(pose_scores(np.array([0.5, 1.0, 1.0]), maxima, 0.2), [0.5 * 0.6, 0, 0.9])
