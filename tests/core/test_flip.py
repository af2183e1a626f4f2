import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.core.flip import flip_keypoint_order, flip_test, unflip_heatmaps
from keras_simplepose.core.skeletons import COCO17, MPII16, POSETRACK15

ORDER = COCO17.flip_order


def random_heatmaps(seed=0, count=17):
    return np.random.default_rng(seed).normal(size=(3, 8, 6, count)).astype(np.float32)


@pytest.mark.parametrize("skeleton", [COCO17, MPII16, POSETRACK15], ids=lambda skeleton: skeleton.name)
def test_unflipping_twice_changes_nothing(skeleton):
    heatmaps = random_heatmaps(count=len(skeleton.keypoints))
    once = np.asarray(unflip_heatmaps(heatmaps, skeleton.flip_order, shift=False))
    assert np.abs(once - heatmaps).max() > 1
    np.testing.assert_array_equal(unflip_heatmaps(once, skeleton.flip_order, shift=False), heatmaps)


def test_left_and_right_are_swapped_and_columns_reversed():
    heatmaps = random_heatmaps()
    unflipped = np.asarray(unflip_heatmaps(heatmaps, ORDER, shift=False))
    left, right = COCO17.keypoints.index("left_wrist"), COCO17.keypoints.index("right_wrist")
    for column in range(6):
        np.testing.assert_array_equal(unflipped[:, :, column, left], heatmaps[:, :, 5 - column, right])
        np.testing.assert_array_equal(unflipped[:, :, column, 0], heatmaps[:, :, 5 - column, 0])


def test_the_shift_moves_one_column_and_column_0_keeps_its_value():
    heatmaps = random_heatmaps()
    plain = np.asarray(unflip_heatmaps(heatmaps, ORDER, shift=False))
    shifted = np.asarray(unflip_heatmaps(heatmaps, ORDER, shift=True))
    np.testing.assert_array_equal(shifted[:, :, 1:], plain[:, :, :-1])
    np.testing.assert_array_equal(shifted[:, :, 0], plain[:, :, 0])


@pytest.mark.parametrize("axis", [1, 2])
def test_keypoints_are_reordered_along_any_axis(axis):
    values = np.moveaxis(random_heatmaps()[:, :, 0], 2, axis)
    np.testing.assert_array_equal(flip_keypoint_order(values, ORDER, axis), np.take(values, ORDER, axis))


def network(crops):
    """Something with a memory of left and right: a strided convolution with fixed random weights."""
    kernel = np.random.default_rng(1).normal(size=(4, 4, 3, 17)).astype(np.float32)
    return tf.nn.conv2d(crops, kernel, 4, "VALID")


@pytest.mark.parametrize("shift", [True, False])
def test_one_pass_of_both_equals_two_passes(shift):
    crops = np.random.default_rng(0).normal(size=(3, 32, 24, 3)).astype(np.float32)
    mirrored = unflip_heatmaps(network(crops[:, :, ::-1]), ORDER, shift)
    expected = (np.asarray(network(crops)) + np.asarray(mirrored)) / 2
    np.testing.assert_allclose(flip_test(network, crops, ORDER, shift), expected, atol=1e-5)
    compiled = tf.function(lambda crops: flip_test(network, crops, ORDER, shift))
    np.testing.assert_allclose(compiled(crops), expected, atol=1e-5)


def test_a_network_without_a_side_gives_the_same_for_mirrored_crops():
    """The flip test of a mirrored crop is the mirrored flip test, where nothing is shifted."""
    crops = np.random.default_rng(0).normal(size=(2, 32, 24, 3)).astype(np.float32)
    plain = flip_test(network, crops, ORDER, shift=False)
    mirrored = flip_test(network, crops[:, :, ::-1], ORDER, shift=False)
    np.testing.assert_allclose(unflip_heatmaps(mirrored, ORDER, shift=False), plain, atol=1e-5)
