import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import final_prediction, generate_target

from keras_simplepose.core import codecs
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec

SIZE, STRIDE = (24, 18), 4.0  # Heatmaps of a 96×72 crop.


def spec(sigma=2.0):
    return PoseSpec(COCO17, (96, 72), SIZE, sigma)


def points(seed, count=17, batch=6):
    """Keypoints inside, at the border, partly and wholly outside of the crop."""
    random = np.random.default_rng(seed)
    keypoints = random.uniform(-60, 160, (batch, count, 2)).astype(np.float32)
    # Halves of heatmap pixels, where rounding decides, also below zero, where int() is no floor().
    keypoints[:, ::3] = random.integers(-24, 48, keypoints[:, ::3].shape) * STRIDE / 2
    return keypoints, (random.random((batch, count)) < 0.8).astype(np.float32)


@pytest.mark.parametrize("sigma", [1, 2, 3])
def test_targets_are_the_releases(sigma):
    keypoints, visible = points(seed=sigma)
    targets, weights = (np.asarray(value) for value in codecs.encode(keypoints, visible, spec(sigma)))
    assert targets.shape == (6, *SIZE, 17) and targets.dtype == np.float32
    for person in range(len(keypoints)):
        expected, expected_weights = generate_target(keypoints[person], visible[person], SIZE, STRIDE, sigma)
        ours = targets[person].transpose(2, 0, 1)
        np.testing.assert_array_equal(weights[person], expected_weights)
        np.testing.assert_array_equal(ours > 0, expected > 0)
        np.testing.assert_allclose(ours, expected, atol=1e-6)  # exp(a) · exp(b) for exp(a + b)
    assert 0 < weights.sum() < visible.sum()


def test_the_releases_off_by_one_on_the_near_side_is_kept():
    """A patch that ends just before pixel 0 draws nothing but has weight; one pixel further it has none."""
    keypoints = np.array([[[-7.5, 8], [-8.5, 8], [24, 8], [23, 8]]], np.float32) * STRIDE
    targets, weights = codecs.encode(keypoints, np.ones((1, 4), np.float32), spec())
    np.testing.assert_array_equal(weights, [[1, 0, 0, 1]])
    assert not np.asarray(targets)[..., 0].any()


def random_heatmaps(seed, batch=8, count=17):
    """Heatmaps of few levels, so full of ties, some wholly ≤ 0, with maxima everywhere, borders included."""
    random = np.random.default_rng(seed)
    heatmaps = random.integers(-3, 12, (batch, *SIZE, count)).astype(np.float32) / 8
    heatmaps[0] = -np.abs(heatmaps[0])
    heatmaps[1, ..., 0] = 0
    for index in range(count):  # A single maximum within three pixels of a corner.
        row, column = random.integers(0, 3, 2)
        heatmaps[2, row, column, index] = heatmaps[3, -1 - row, -1 - column, index] = 5
    return heatmaps


@pytest.mark.parametrize("seed", range(3))
def test_decoding_is_the_releases(seed):
    heatmaps = random_heatmaps(seed)
    keypoints, maxima = (np.asarray(value) for value in codecs.decode(heatmaps, spec()))
    for person in range(heatmaps.shape[0]):
        for joint in range(heatmaps.shape[-1]):
            expected, maximum = final_prediction(heatmaps[person, ..., joint])
            np.testing.assert_array_equal(keypoints[person, joint], expected * STRIDE)
            assert maxima[person, joint] == maximum


def test_an_offset_needs_both_axes_inside():
    heatmap = np.zeros((1, *SIZE, 1), np.float32)
    heatmap[0, 10, 1, 0], heatmap[0, 10, 2, 0], heatmap[0, 11, 1, 0] = 1, 0.5, 0.5
    np.testing.assert_array_equal(np.asarray(codecs.decode(heatmap, spec())[0]), [[[4, 40]]])
    np.testing.assert_array_equal(np.asarray(codecs.decode(np.roll(heatmap, 1, 2), spec())[0]), [[[9, 41]]])


def test_a_heatmap_without_a_positive_value_decodes_to_the_origin():
    heatmap = np.full((1, *SIZE, 1), -1.0, np.float32)
    heatmap[0, 10, 10] = -0.5
    keypoints, maxima = codecs.decode(heatmap, spec())
    np.testing.assert_array_equal(keypoints, [[[0, 0]]])
    np.testing.assert_array_equal(maxima, [[-0.5]])


PLACES = st.lists(st.tuples(st.floats(9, 60), st.floats(9, 84)), min_size=8, max_size=8)


@settings(max_examples=15, deadline=None)
@given(PLACES, st.sampled_from([2.0, 3.0]))
@example([(10.0, 10.0)] * 8, 2.0)
def test_decoding_what_was_encoded_is_near(places, sigma):
    keypoints = np.array([places], np.float32)
    targets, _ = codecs.encode(keypoints, np.ones((1, 8), np.float32), spec(sigma))
    decoded, maxima = codecs.decode(targets, spec())
    assert np.abs(np.asarray(decoded) - keypoints).max() <= STRIDE / 2 + 1e-4
    np.testing.assert_array_equal(maxima, np.ones((1, 8)))


def test_every_way_of_running_them_agrees():
    keypoints, visible = points(seed=9)

    def encode(keypoints, visible):
        return codecs.encode(keypoints, visible, spec())

    def decode(heatmaps):
        return codecs.decode(heatmaps, spec())

    heatmaps = random_heatmaps(9)
    for compiled in (False, True):
        for function, arguments in ((encode, (keypoints, visible)), (decode, (heatmaps,))):
            got = tf.function(function, jit_compile=compiled)(*arguments)
            for ours, expected in zip(got, function(*arguments), strict=True):
                np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_the_batch_may_be_dynamic():
    signature = [tf.TensorSpec([None, *SIZE, 17], tf.float32)]
    dynamic = tf.function(lambda heatmaps: codecs.decode(heatmaps, spec()), input_signature=signature)
    heatmaps = random_heatmaps(1)
    np.testing.assert_array_equal(dynamic(heatmaps)[0], codecs.decode(heatmaps, spec())[0])
