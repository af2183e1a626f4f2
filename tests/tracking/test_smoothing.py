from dataclasses import replace

import numpy as np
import pytest
from tracking_scenes import poses_of, standing

from keras_simplepose.core.poses import TrackedPoses
from keras_simplepose.tracking.smoothing import OneEuroSmoother
from keras_simplepose.utils.errors import UserError


def tracked(points, ids):
    return TrackedPoses(poses_of(points), np.array(ids), np.zeros(len(ids), bool))


def test_trembling_is_damped_and_a_runner_is_followed():
    rng, smoother = np.random.default_rng(0), OneEuroSmoother(30)
    still, runner = [], []
    for frame in range(60):
        noisy = standing(100, 50) + rng.normal(0, 2, (17, 2))
        smooth = smoother(tracked([noisy, standing(10 * frame, 200)], [1, 2])).poses.keypoints[..., :2]
        still.append(np.abs(smooth[0] - standing(100, 50)).mean())
        runner.append(np.abs(smooth[1] - standing(10 * frame, 200))[:, 0].mean())
    assert np.mean(still[20:]) < 0.6 * 2 * np.sqrt(2 / np.pi)
    assert np.mean(runner[20:]) < 10  # Less than a frame behind.


def test_each_track_is_smoothed_for_itself_whatever_its_place():
    forward, backward = OneEuroSmoother(30), OneEuroSmoother(30)
    for frame in range(5):
        a, b = standing(frame, 0), standing(200 - frame, 0)
        first = forward(tracked([a, b], [1, 2])).poses.keypoints
        second = backward(tracked([b, a], [2, 1])).poses.keypoints
    np.testing.assert_array_equal(first, second[::-1])


def test_unreliable_and_missing_joints_stay_as_they_are():
    smoother = OneEuroSmoother(30)
    smoother(tracked([standing(0, 0)], [1]))
    now = tracked([standing(9, 9)], [1])
    now.poses.keypoints[0, 3, :2] = np.nan
    now.poses.reliable[0, 4] = False
    result = smoother(now).poses.keypoints[0]
    assert np.isnan(result[3, :2]).all()
    np.testing.assert_array_equal(result[4], now.poses.keypoints[0, 4])
    assert (result[5, :2] < standing(9, 9)[5]).all()


def test_a_track_begins_anew_after_a_long_gap():
    smoother = OneEuroSmoother(2)
    smoother(tracked([standing(0, 0)], [1]))
    for _ in range(3):
        smoother(tracked([], []))
    result = smoother(tracked([standing(50, 0)], [1]))
    np.testing.assert_allclose(result.poses.keypoints[0, :, :2], standing(50, 0), atol=1e-4)


def test_the_given_poses_are_not_changed():
    smoother, now = OneEuroSmoother(30), tracked([standing(0, 0)], [1])
    smoother(now)
    later = tracked([standing(5, 5)], [1])
    before = later.poses.keypoints.copy()
    smoother(replace(later))
    np.testing.assert_array_equal(later.poses.keypoints, before)


@pytest.mark.parametrize("values", [(0, 1, 1), (float("nan"), 1, 1), (30, 0, 1), (30, 1, -1)])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(UserError, match="of smoothing is"):
        OneEuroSmoother(*values)
