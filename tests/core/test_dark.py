"""DARK beside a slow, obvious version in NumPy and OpenCV: one map, one pixel after the other."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from step_oracle import assert_margins_are_the_slow_ones

from keras_simplepose.core import codecs
from keras_simplepose.core.codecs.dark import JUMP
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec

SIZE, STRIDE = (32, 24), 4.0
KERNELS = {2.0: 11, 3.0: 17}


def spec(sigma=2.0, codec="dark"):
    return PoseSpec(COCO17, (128, 96), SIZE, sigma, codec)


def oracle_target(keypoints, visible, sigma):
    """Targets [h, w, K] and weights [K] of one person's keypoints [K, 2] in crop pixels."""
    targets, weights = np.zeros((*SIZE, len(keypoints))), np.array(visible, np.float32)
    for joint, (x, y) in enumerate(np.asarray(keypoints, np.float64) / STRIDE):
        reach = 3 * sigma
        if x - reach >= SIZE[1] or y - reach >= SIZE[0] or x + reach + 1 < 0 or y + reach + 1 < 0:
            weights[joint] = 0
        if weights[joint] > 0.5:
            for row in range(SIZE[0]):
                for column in range(SIZE[1]):
                    targets[row, column, joint] = np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
    return targets, weights


def oracle_point(heatmap, sigma):
    """(x, y) in heatmap pixels of one heatmap [h, w]."""
    (h, w), border, kernel = heatmap.shape, KERNELS[sigma] // 2, KERNELS[sigma]
    y, x = np.unravel_index(np.argmax(heatmap), heatmap.shape)
    if heatmap[y, x] <= 0:
        return np.zeros(2)
    wide = np.zeros((h + 2 * border, w + 2 * border))
    wide[border:-border, border:-border] = heatmap
    smooth = cv2.GaussianBlur(wide, (kernel, kernel), 0)[border:-border, border:-border]
    z = np.log(np.maximum(smooth * heatmap.max() / smooth.max(), 1e-10))
    point = np.array([x, y], np.float64)
    if 1 < x < w - 2 and 1 < y < h - 2:
        gradient = np.array([z[y, x + 1] - z[y, x - 1], z[y + 1, x] - z[y - 1, x]]) / 2
        dxx = (z[y, x + 2] - 2 * z[y, x] + z[y, x - 2]) / 4
        dyy = (z[y + 2, x] - 2 * z[y, x] + z[y - 2, x]) / 4
        dxy = (z[y + 1, x + 1] - z[y - 1, x + 1] - z[y + 1, x - 1] + z[y - 1, x - 1]) / 4
        hessian = np.array([[dxx, dxy], [dxy, dyy]])
        if dxx * dyy - dxy**2 != 0:
            point -= np.linalg.inv(hessian) @ gradient
    return point


def places(seed, count=17, batch=4, low=-40, high=150):
    generator = np.random.default_rng(seed)
    keypoints = generator.uniform(low, high, (batch, count, 2)).astype(np.float32)
    return keypoints, (generator.random((batch, count)) < 0.8).astype(np.float32)


def bumps(seed, sigma, batch=4):
    """Heatmaps as a network gives them: bells of any height at any place, borders included, a little noise."""
    keypoints, _ = places(seed, batch=batch, low=-6, high=130)
    generator = np.random.default_rng(seed + 100)
    targets = np.asarray(codecs.encode(keypoints, np.ones(keypoints.shape[:2], np.float32), spec(sigma))[0])
    heights = generator.uniform(0.2, 1, (batch, 1, 1, 17)).astype(np.float32)
    maps = targets * heights + generator.normal(0, 0.01, targets.shape).astype(np.float32)
    maps[0, ..., 0] = -np.abs(maps[0, ..., 0])
    maps[0, ..., 1] = 0
    return maps


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_targets_are_the_oracles(sigma):
    keypoints, visible = places(int(sigma))
    targets, weights = (np.asarray(value) for value in codecs.encode(keypoints, visible, spec(sigma)))
    assert targets.dtype == np.float32 and 0 < weights.sum() < visible.sum()
    for person in range(len(keypoints)):
        expected, expected_weights = oracle_target(keypoints[person], visible[person], sigma)
        np.testing.assert_array_equal(weights[person], expected_weights)
        np.testing.assert_allclose(targets[person], expected, atol=1e-5)


@pytest.mark.parametrize("gather_free", [False, True])
@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_points_are_the_oracles(sigma, gather_free):
    maps = bumps(7, sigma)
    points, maxima = (np.asarray(value) for value in codecs.decode(maps, spec(sigma), gather_free))
    np.testing.assert_array_equal(maxima, maps.max(axis=(1, 2)))
    np.testing.assert_array_equal(points[0, :2], 0)
    expected = [[oracle_point(maps[n, ..., k].astype(np.float64), sigma) for k in range(17)] for n in range(len(maps))]
    decided = codecs.decision_margins(maps, spec(sigma)) > 1e-5
    assert decided.mean() > 0.9
    np.testing.assert_allclose(points[decided], STRIDE * np.array(expected)[decided], atol=0.01)


@pytest.mark.parametrize("sigma", [2.0, 3.0])
def test_a_gaussians_middle_is_found_within_a_tenth_of_a_pixel(sigma):
    """Its logarithm is a parabola, and smoothing keeps the middle where the bell lies within the map."""
    reach = 4 * (3 * sigma + 2)
    generator = np.random.default_rng(1)
    keypoints = generator.uniform([reach, reach], [96 - reach, 128 - reach], (3, 17, 2)).astype(np.float32)
    targets, _ = codecs.encode(keypoints, np.ones((3, 17), np.float32), spec(sigma))
    points, _ = codecs.decode(targets, spec(sigma))
    assert np.abs(np.asarray(points) - keypoints).max() < 0.1
    quarter, _ = codecs.decode(targets, spec(sigma, "quarter_offset"))
    assert np.abs(np.asarray(quarter) - keypoints).max() > 0.5


def test_no_step_within_two_pixels_of_a_border():
    keypoints = np.array([[[6.5, 60], [85.5, 60], [50, 6.5], [50, 117.5], [10.5, 60]]], np.float32)
    targets, _ = codecs.encode(keypoints, np.ones((1, 5), np.float32), spec())
    points = np.asarray(codecs.decode(targets, spec())[0])[0]
    pixels = np.rint(keypoints[0] / STRIDE) * STRIDE
    # Columns 2 and w − 3 are the outermost with a step.
    stepped = (points != pixels).any(axis=1)
    places = np.rint(keypoints[0] / STRIDE)
    inside = ((places > 1) & (places < [SIZE[1] - 2, SIZE[0] - 2])).all(axis=1)
    np.testing.assert_array_equal(stepped, inside)


def test_a_flat_map_has_no_step():
    flat = np.ones((1, *SIZE, 1), np.float32) * np.float32(1e-12)
    flat[0, 10, 10] = 2e-12  # All below what the logarithm can tell apart.
    np.testing.assert_array_equal(codecs.decode(flat, spec())[0], [[[40, 40]]])
    assert codecs.decision_margins(flat, spec())[0, 0] == pytest.approx(1e-12, rel=1e-3)  # Only the maximum can move.


def test_margins_are_the_oracles():
    maps = bumps(11, 2.0, batch=1)
    maps[..., 8:] = np.random.default_rng(5).normal(0, 1, maps[..., 8:].shape)  # Most of it clipped once smoothed.
    margins = codecs.decision_margins(maps, spec())[0]
    assert_margins_are_the_slow_ones(margins, maps[0], lambda heatmap: STRIDE * oracle_point(heatmap, 2.0), JUMP)


def test_graphs_and_compiled_graphs_agree():
    maps, keypoints, visible = bumps(3, 2.0), *places(3)
    signature = [tf.TensorSpec([None, *SIZE, 17], tf.float32)]
    decided = codecs.decision_margins(maps, spec()) > 1e-5
    for compiled in (False, True):
        decode = tf.function(lambda maps: codecs.decode(maps, spec())[0], signature, jit_compile=compiled)
        np.testing.assert_allclose(
            decode(maps).numpy()[decided], np.asarray(codecs.decode(maps, spec())[0])[decided], atol=0.01
        )
        encode = tf.function(lambda *values: codecs.encode(*values, spec())[0], jit_compile=compiled)
        np.testing.assert_allclose(encode(keypoints, visible), codecs.encode(keypoints, visible, spec())[0], atol=1e-5)


def test_tflite_needs_no_other_operators_than_its_own(tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    signature = [tf.TensorSpec([1, *SIZE, 17], tf.float32)]
    function = tf.function(lambda maps: codecs.decode(maps, spec())[0], signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    lite = interpreter.Interpreter(model_content=converter.convert())
    lite.allocate_tensors()
    maps = bumps(5, 2.0, batch=1)
    lite.set_tensor(lite.get_input_details()[0]["index"], maps)
    lite.invoke()
    decided = codecs.decision_margins(maps, spec()) > 1e-5
    np.testing.assert_allclose(
        lite.get_tensor(lite.get_output_details()[0]["index"])[decided],
        np.asarray(codecs.decode(maps, spec())[0])[decided],
        atol=0.01,
    )
