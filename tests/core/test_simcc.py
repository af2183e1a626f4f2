"""SimCC beside a slow, obvious version; the head's rows; mirroring; and the loss."""

import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.config import EvaluationConfig, OptimizationConfig
from keras_simplepose.core import codecs
from keras_simplepose.core.codecs import simcc
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.hourglass import build_hourglass
from keras_simplepose.models.losses import distribution_divergence, distribution_pck
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.prediction.graph import predict_crops
from keras_simplepose.training.training_model import TrainingModel
from keras_simplepose.utils.errors import UserError

HEIGHT, WIDTH = 64, 48
SPEC = PoseSpec(COCO17, (HEIGHT, WIDTH), (1, 2 * (HEIGHT + WIDTH)), 2.0, "simcc")


def places(seed, low=-30, high=90):
    random = np.random.default_rng(seed)
    return random.uniform(low, high, (3, 17, 2)).astype(np.float32), (random.random((3, 17)) < 0.8).astype(np.float32)


def oracle_row(point, visible, sigma=6.0):
    """The labels for x and y, and the weight, of one keypoint."""
    x, y = (int(np.around(value * 2)) for value in point)
    weight = float(visible)
    if x - 3 * sigma >= 2 * WIDTH or y - 3 * sigma >= 2 * HEIGHT or min(x, y) + 3 * sigma + 1 < 0:
        weight = 0.0
    along_x = [weight * np.exp(-((i - x) ** 2) / (2 * sigma**2)) for i in range(2 * WIDTH)]
    return np.array(along_x + [weight * np.exp(-((i - y) ** 2) / (2 * sigma**2)) for i in range(2 * HEIGHT)]), weight


def test_labels_and_points_are_the_oracles():
    keypoints, visible = places(0)
    rows, weights = (np.asarray(value) for value in codecs.encode(keypoints, visible, SPEC))
    assert rows.shape == (3, *SPEC.heatmap_size, 17) and 0 < weights.sum() < visible.sum()
    for n, k in np.ndindex(3, 17):
        expected, weight = oracle_row(keypoints[n, k], visible[n, k])
        np.testing.assert_allclose(rows[n, 0, :, k], expected, atol=1e-5)
        assert weights[n, k] == weight
    noisy = np.random.default_rng(1).random(rows.shape).astype(np.float32)
    points, maxima = (np.asarray(value) for value in codecs.decode(noisy, SPEC))
    x, y = noisy[:, 0, : 2 * WIDTH], noisy[:, 0, 2 * WIDTH :]
    np.testing.assert_array_equal(points, np.stack([x.argmax(axis=1), y.argmax(axis=1)], axis=-1) / 2)
    np.testing.assert_array_equal(maxima, np.minimum(x.max(axis=1), y.max(axis=1)))
    np.testing.assert_array_equal(codecs.decode(-noisy, SPEC)[0], np.zeros((3, 17, 2)))


def test_what_is_drawn_is_found_within_a_quarter_pixel_and_so_is_its_mirror_image():
    keypoints, _ = places(2, 4, 44)
    rows, _ = codecs.encode(keypoints, np.ones((3, 17), np.float32), SPEC)
    points, maxima = (np.asarray(value) for value in codecs.decode(rows, SPEC))
    assert np.abs(points - keypoints).max() <= 0.25 and np.all(maxima == 1)
    there = np.asarray(codecs.decode(simcc.mirrored(rows, SPEC), SPEC)[0])
    np.testing.assert_array_equal(there, np.stack([WIDTH - 1 - points[..., 0], points[..., 1]], axis=-1))
    assert np.asarray(simcc.as_maps(rows, SPEC)).shape == (3, 2 * HEIGHT, 2 * WIDTH, 17)
    assert np.isfinite(codecs.decision_margins(np.asarray(rows), SPEC)).all()


@pytest.mark.parametrize("shift", [False, True])
def test_the_flip_test_of_a_symmetric_network_changes_nothing(shift):
    keypoints, _ = places(4, 4, 44)
    rows, _ = codecs.encode(keypoints, np.ones((3, 17), np.float32), SPEC)
    mirrored = tf.gather(simcc.mirrored(rows, SPEC), COCO17.flip_order, axis=-1)

    def network(crops):
        return tf.concat([rows, mirrored], axis=0) if crops.shape[0] > 3 else rows

    crops = tf.zeros((3, HEIGHT, WIDTH, 3))
    plain, _ = predict_crops(network, crops, SPEC, EvaluationConfig(flip_test=False))
    both, maxima = predict_crops(network, crops, SPEC, EvaluationConfig(flip_shift=shift))
    np.testing.assert_array_equal(both, plain)
    np.testing.assert_allclose(maxima, 1)


def test_the_loss_is_the_divergence_and_0_where_the_labels_are_met():
    keypoints, visible = places(3)
    labels, weights = (np.asarray(value) for value in codecs.encode(keypoints, visible, SPEC))
    predicted = np.random.default_rng(0).random(labels.shape).astype(np.float32) + 0.01
    expected = np.zeros(3)
    for n, k in np.ndindex(3, 17):
        for part in (slice(0, 2 * WIDTH), slice(2 * WIDTH, None)):
            p, q = labels[n, 0, part, k].astype(float), predicted[n, 0, part, k].astype(float)
            if weights[n, k]:
                p, q = p / p.sum(), q / q.sum()
                expected[n] += np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])) / 34
    found = distribution_divergence(predicted, labels, weights, input_size=SPEC.input_size)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert np.abs(distribution_divergence(labels, labels, weights, input_size=SPEC.input_size)).max() < 1e-5
    right, labelled = distribution_pck(labels, labels, weights, SPEC.input_size)
    assert float(right) == float(labelled) == weights.sum()


def test_a_network_learns_rows():
    small = {"input_size": (64, 64), "deconv_filters": (8,), "deconv_kernels": (4,), "alpha": 0.35}
    model = build_pose_model("mobilenetv2", codec="simcc", **small)
    spec = pose_spec(model)
    assert model.output_shape[1:] == (1, 256, 17) and spec.codec == "simcc"
    crops = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    rows = np.asarray(model(crops))
    # Probabilities on the labels' scale.
    np.testing.assert_allclose(rows[:, 0, :128].sum(axis=1), simcc.peak_scale(2.0), rtol=1e-4)
    with pytest.raises(UserError, match="loss is ohkm, but codec simcc has a loss of its own"):
        TrainingModel(model, optimization=OptimizationConfig(loss="ohkm"))
    with tf.GradientTape() as tape:
        keypoints = np.full((2, 17, 2), 20, np.float32)
        labels, weights = codecs.encode(keypoints, np.ones((2, 17), np.float32), spec)
        loss = tf.reduce_mean(TrainingModel(model).losses_of_stages[0](model(crops), labels, weights))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert float(loss) > 0.5 and all(np.isfinite(gradient).all() for gradient in gradients)


def test_other_heads_are_refused():
    with pytest.raises(UserError, match="codec simcc takes a row of 256 values .* simple alone has the head"):
        build_hourglass(1, input_size=(64, 64), features=8, codec="simcc")
