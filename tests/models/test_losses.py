import numpy as np
import oracles
import pytest
import tensorflow as tf

from keras_simplepose.core import codecs
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.losses import heatmap_pck, keypoint_mse


def batch(size, seed=0, count=5):
    """Predictions [B, h, w, K] near their targets, some off, and weights of 0 and 1."""
    random = np.random.default_rng(seed)
    h, w = size
    spec = PoseSpec(COCO17, (4 * h, 4 * w), size, 1.0)
    keypoints = random.uniform(8, np.array([w, h]) * 4 - 8, (count, 17, 2)).astype(np.float32)
    visible = (random.random((count, 17)) < 0.7).astype(np.float32)
    targets, weights = codecs.encode(keypoints, visible, spec)
    moved = keypoints + random.normal(0, 4.0, keypoints.shape).astype(np.float32)
    predictions, _ = codecs.encode(moved, np.ones_like(visible), spec)
    noise = random.normal(0, 0.05, predictions.shape).astype(np.float32)
    return np.asarray(predictions) + noise, np.asarray(targets), np.asarray(weights)


def channels_first(*heatmaps):
    return [value.transpose(0, 3, 1, 2) for value in heatmaps]


def test_the_loss_is_the_releases():
    predictions, targets, weights = batch((16, 12))
    ours = np.asarray(keypoint_mse(predictions, targets, weights))
    assert ours.shape == (5,) and ours.dtype == np.float32
    expected = oracles.keypoint_mse(*channels_first(predictions, targets), weights)
    assert ours.mean() == pytest.approx(expected, rel=1e-5)
    for index in range(5):
        part = slice(index, index + 1)
        one = oracles.keypoint_mse(*channels_first(predictions[part], targets[part]), weights[part])
        assert ours[index] == pytest.approx(one, rel=1e-5)


def test_keypoints_without_weight_cost_nothing_but_count_in_the_mean():
    predictions, targets = np.ones((1, 4, 4, 2), np.float32), np.zeros((1, 4, 4, 2), np.float32)
    assert keypoint_mse(predictions, targets, np.array([[1.0, 1.0]]))[0] == 0.5
    assert keypoint_mse(predictions, targets, np.array([[1.0, 0.0]]))[0] == 0.25
    assert keypoint_mse(predictions, targets, np.array([[0.0, 0.0]]))[0] == 0


def test_the_loss_is_float32_for_half_precision():
    predictions, targets, weights = batch((16, 12))
    assert keypoint_mse(predictions.astype(np.float16), targets, weights).dtype == "float32"


@pytest.mark.parametrize("size", [(16, 16), (16, 12), (64, 48)])
def test_pck_is_the_slow_ones(size):
    predictions, targets, weights = batch(size)
    right, labelled = (float(value) for value in heatmap_pck(predictions, targets, weights))
    expected = oracles.correct_keypoints(*channels_first(predictions, targets), weights)
    assert (right, labelled) == expected
    assert 0 < right < labelled < weights.size


def test_pck_runs_compiled():
    arguments = batch((16, 12))
    compiled = tf.function(heatmap_pck, jit_compile=True)(*arguments)
    np.testing.assert_array_equal(compiled, heatmap_pck(*arguments))


def test_pck_excludes_the_limit_itself():
    """A tenth of 40 columns is 4: two columns off is no longer nearer than half of that, one is."""
    targets, predictions = np.zeros((1, 40, 40, 2), np.float32), np.zeros((1, 40, 40, 2), np.float32)
    targets[0, 20, 20] = predictions[0, 20, 22, 0] = predictions[0, 20, 21, 1] = 1
    right, labelled = heatmap_pck(predictions, targets, np.ones((1, 2), np.float32))
    assert (float(right), float(labelled)) == (1, 2)
