"""The person detector's network and losses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.core.centers import DetectorSpec
from keras_simplepose.models.files import SHIPPED, load_model, load_person_detector, save_model
from keras_simplepose.models.losses import center_focal, weighted_l1
from keras_simplepose.models.person_detector import build_person_detector, detector_spec, set_threshold
from keras_simplepose.utils.errors import UserError

TINY = {"backbone": "mobilenetv2", "alpha": 0.35, "input_size": (64, 96), "deconv_filters": (8, 8, 8)}


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return build_person_detector(**TINY)


def test_a_new_network_sees_few_persons(network):
    maps = np.asarray(network(np.zeros((1, 64, 96, 3), np.uint8)))
    assert maps.shape == (1, 16, 24, 5)
    np.testing.assert_allclose(1 / (1 + np.exp(-maps[..., 0])), 0.1, atol=0.02)


def test_the_file_carries_the_specification(network, tmp_path):
    save_model(network, tmp_path / "persons.keras")
    loaded = load_person_detector(tmp_path / "persons.keras")
    assert detector_spec(loaded) == detector_spec(network)
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    np.testing.assert_array_equal(loaded(image), network(image))
    with pytest.raises(UserError, match=r"persons\.keras: .* is not a pose network"):
        load_model(tmp_path / "persons.keras")


def test_a_pose_network_is_no_detector(tmp_path):
    with pytest.raises(UserError, match="is not a person detector"):
        load_person_detector(SHIPPED["small"])
    with pytest.raises(UserError, match="no such model file"):
        load_person_detector(tmp_path / "absent.keras")


@pytest.mark.parametrize("compiled", [False, True])
def test_the_focal_loss_is_the_papers(compiled):
    random = np.random.default_rng(2)
    logits, heat = random.normal(0, 2, (2, 4, 5)), random.random((2, 4, 5))
    heat[0, 1, 2] = heat[1, 3, 3] = 1
    counted = (random.random((2, 4, 5)) < 0.7).astype(float)
    expected = np.zeros(2)
    for index in np.ndindex(2, 4, 5):
        p = 1 / (1 + np.exp(-logits[index]))
        if heat[index] == 1:
            expected[index[0]] -= (1 - p) ** 2 * np.log(p)
        else:
            expected[index[0]] -= counted[index] * (1 - heat[index]) ** 4 * p**2 * np.log(1 - p)
    arguments = [value.astype(np.float32) for value in (logits, heat, counted)]
    found = tf.function(center_focal, jit_compile=compiled)(*arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_l1_counts_cells_by_weight():
    predictions, targets = np.zeros((1, 2, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.float32)
    predictions[0, 0, 0] = 3, -1
    predictions[0, 1, 1] = 100, 100
    weights = np.array([[[0.25, 0], [0.75, 0]]], np.float32)
    np.testing.assert_allclose(weighted_l1(predictions, targets, weights), [1.0])


def test_its_threshold_is_saved_with_it(network, tmp_path):
    set_threshold(network, 0.125)
    save_model(network, tmp_path / "persons.keras")
    set_threshold(network, 0.3)
    assert detector_spec(load_person_detector(tmp_path / "persons.keras")).threshold == 0.125
    with pytest.raises(UserError, match="threshold 1.5 is not within"):
        set_threshold(network, 1.5)
    values = detector_spec(network).to_dict()
    del values["threshold"]  # As earlier files are.
    assert DetectorSpec.from_dict(values).threshold == 0.3
