"""UDP beside slow, obvious versions in NumPy and OpenCV, and its own promise: nothing is lost by mirroring."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from step_oracle import assert_margins_are_the_slow_ones

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core import codecs
from keras_simplepose.core.codecs.dark import JUMP
from keras_simplepose.core.geometry import transform_points
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.prediction.graph import predict_crops

SIZE = (32, 24)
STRIDES = np.array([95 / 23, 127 / 31])
KERNELS = {2.0: 11, 3.0: 17}


def spec(sigma=2.0):
    return PoseSpec(COCO17, (128, 96), SIZE, sigma, "udp")


def places(seed, low=-40, high=150):
    random = np.random.default_rng(seed)
    return random.uniform(low, high, (4, 17, 2)).astype(np.float32), (random.random((4, 17)) < 0.8).astype(np.float32)


def oracle_target(keypoints, visible, sigma):
    targets, weights = np.zeros((*SIZE, len(keypoints))), np.array(visible, np.float32)
    for joint, (x, y) in enumerate(np.asarray(keypoints, np.float64) / STRIDES):
        reach, column, row = int(3 * sigma), int(x + 0.5), int(y + 0.5)
        outside = column - reach >= SIZE[1] or row - reach >= SIZE[0] or column + reach + 1 < 0 or row + reach + 1 < 0
        if outside:
            weights[joint] = 0
        if weights[joint] > 0.5:
            for i in range(max(0, row - reach), min(SIZE[0], row + reach + 1)):
                for j in range(max(0, column - reach), min(SIZE[1], column + reach + 1)):
                    targets[i, j, joint] = np.exp(-((j - x) ** 2 + (i - y) ** 2) / (2 * sigma**2))
    return targets, weights


def oracle_point(heatmap, sigma):
    """(x, y) in heatmap pixels of one heatmap [h, w]."""
    (h, w), border, kernel = heatmap.shape, KERNELS[sigma] // 2, KERNELS[sigma]
    row, column = np.unravel_index(np.argmax(heatmap), heatmap.shape)
    if heatmap[row, column] <= 0:
        return np.zeros(2)
    wide = np.zeros((h + 2 * border, w + 2 * border))
    wide[border:-border, border:-border] = heatmap
    smooth = cv2.GaussianBlur(wide, (kernel, kernel), 0)[border:-border, border:-border]
    z = np.pad(np.log(np.clip(smooth * heatmap.max() / smooth.max(), 1e-3, 50)), 1, mode="edge")
    i, j = row + 1, column + 1
    gradient = np.array([z[i, j + 1] - z[i, j - 1], z[i + 1, j] - z[i - 1, j]]) / 2
    dxx, dyy = z[i, j + 1] - 2 * z[i, j] + z[i, j - 1], z[i + 1, j] - 2 * z[i, j] + z[i - 1, j]
    ahead = z[i + 1, j + 1] - z[i, j + 1] - z[i + 1, j] + z[i, j]
    behind = z[i, j] - z[i, j - 1] - z[i - 1, j] + z[i - 1, j - 1]
    hessian = np.array([[dxx, (ahead + behind) / 2], [(ahead + behind) / 2, dyy]])
    return [column, row] - np.linalg.inv(hessian + np.finfo(np.float32).eps * np.eye(2)) @ gradient


def bumps(seed, sigma=2.0):
    """Heatmaps as a network gives them: bells of any height at any place, borders included, a little noise."""
    keypoints, _ = places(seed, -6, 130)
    random = np.random.default_rng(seed + 100)
    targets = np.asarray(codecs.encode(keypoints, np.ones((4, 17), np.float32), spec(sigma))[0])
    maps = targets * random.uniform(0.2, 1, (4, 1, 1, 17)) + random.normal(0, 0.01, targets.shape)
    maps[0, ..., 0], maps[0, ..., 1] = -np.abs(maps[0, ..., 0]), 0
    return maps.astype(np.float32)


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_targets_and_points_are_the_oracles(sigma):
    keypoints, visible = places(int(sigma))
    targets, weights = (np.asarray(value) for value in codecs.encode(keypoints, visible, spec(sigma)))
    for person in range(len(keypoints)):
        expected, expected_weights = oracle_target(keypoints[person], visible[person], sigma)
        np.testing.assert_array_equal(weights[person], expected_weights)
        np.testing.assert_allclose(targets[person], expected, atol=1e-5)
    assert 0 < weights.sum() < visible.sum()
    maps = bumps(7, sigma)
    expected = np.array(
        [[oracle_point(maps[n, ..., k].astype(np.float64), sigma) for k in range(17)] for n in range(4)]
    )
    decided = codecs.decision_margins(maps, spec(sigma)) > 1e-5
    assert decided.mean() > 0.8
    for gather_free in (False, True):
        points, maxima = (np.asarray(value) for value in codecs.decode(maps, spec(sigma), gather_free))
        np.testing.assert_array_equal(maxima, maps.max(axis=(1, 2)))
        np.testing.assert_array_equal(points[0, :2], 0)
        np.testing.assert_allclose(points[decided], (STRIDES * expected)[decided], atol=0.01)


def test_margins_are_the_oracles():
    maps = bumps(11)[:1]
    maps[..., 8:] = np.random.default_rng(5).normal(0, 1, maps[..., 8:].shape)  # Most of it clipped once smoothed.
    margins = codecs.decision_margins(maps, spec())[0]
    assert_margins_are_the_slow_ones(margins, maps[0], lambda heatmap: STRIDES * oracle_point(heatmap, 2.0), JUMP)


@pytest.mark.parametrize("degrees", [0.0, 30.0])
def test_the_crops_first_and_last_pixels_are_the_boxs_corners(degrees):
    """An affine through three points: the middle, and the ends of two turned arms."""
    center, width = np.array([40.0, 70.0]), 60.0
    turn = np.array([[np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))], [np.sin(np.radians(degrees)), 0]])
    turn[1, 1] = turn[0, 0]
    arms = np.array([[0, 0], [width / 2, 0], [0, width / 2 * 128 / 96]]) @ turn.T
    ends = np.array([[47.5, 63.5], [95, 63.5], [47.5, 127]])
    expected = cv2.getAffineTransform((center + arms).astype(np.float32), ends.astype(np.float32))
    matrix = spec().crop_matrix(center, np.float64(width), np.float64(degrees))
    if degrees:  # Turned first, scaled by axes afterwards: x and y by slightly different factors.
        scales = np.array([95 / width, 127 / (width * 128 / 96)])
        assert np.abs(matrix[:, :2] - expected[:, :2]).max() < 0.01
        np.testing.assert_allclose(np.linalg.norm(matrix[:, :2], axis=1), scales, rtol=1e-6)
        np.testing.assert_allclose(transform_points(matrix, center[None])[0], [47.5, 63.5], atol=1e-6)
    else:
        np.testing.assert_allclose(matrix, expected, atol=1e-4)
    mirrored = spec().crop_matrix(center, np.float64(width), np.float64(degrees), np.float64(1))
    points = np.random.default_rng(0).uniform(0, 100, (5, 2))
    # The picture mirrored about the centre and turned the other way is the crop mirrored.
    plain = transform_points(spec().crop_matrix(center, np.float64(width), np.float64(-degrees)), points)
    there = transform_points(mirrored, points)
    np.testing.assert_allclose(there[:, 0], 95 - plain[:, 0], atol=1e-6)
    np.testing.assert_allclose(there[:, 1], plain[:, 1], atol=1e-6)


def test_what_is_drawn_is_found_and_so_is_its_mirror_image():
    keypoints, _ = places(1, 34, 62)
    ones = np.ones((4, 17), np.float32)
    targets = np.asarray(codecs.encode(keypoints, ones, spec())[0])
    points = np.asarray(codecs.decode(targets, spec())[0])
    assert np.abs(points - keypoints).max() < 0.3
    mirrored = np.asarray(codecs.decode(targets[:, :, ::-1], spec())[0])
    np.testing.assert_allclose(mirrored[..., 0], 95 - points[..., 0], atol=1e-4)
    np.testing.assert_allclose(mirrored[..., 1], points[..., 1], atol=1e-4)


def test_the_flip_test_of_a_symmetric_network_changes_nothing():
    """A network that sees its mirror image mirrored: averaging both, without a shift, moves no point."""
    order = COCO17.flip_order
    maps = tf.constant(bumps(3))
    calls = []

    def network(crops):
        calls.append(int(crops.shape[0]))
        return tf.concat([maps, tf.gather(maps[:, :, ::-1], order, axis=-1)], axis=0) if crops.shape[0] > 4 else maps

    crops = tf.zeros((4, 128, 96, 3))
    plain, _ = predict_crops(network, crops, spec(), EvaluationConfig(flip_test=False))
    both, _ = predict_crops(network, crops, spec(), EvaluationConfig())
    assert calls == [4, 8]
    np.testing.assert_allclose(both, plain, atol=1e-4)


def test_graphs_and_compiled_graphs_agree():
    maps = bumps(3)
    decided = codecs.decision_margins(maps, spec()) > 1e-5
    for compiled in (False, True):
        decode = tf.function(lambda maps: codecs.decode(maps, spec())[0], jit_compile=compiled)
        expected = np.asarray(codecs.decode(maps, spec())[0])
        np.testing.assert_allclose(decode(maps).numpy()[decided], expected[decided], atol=0.01)
