"""The project's own detector: letterboxing in a graph, and boxes from maps that are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.config import DetectorConfig
from keras_simplepose.core.centers import DetectorSpec
from keras_simplepose.detection.center_detector import CenterDetector
from keras_simplepose.detection.detectors import load_detector
from keras_simplepose.detection.graph import fixed_number, letterboxed
from keras_simplepose.media.letterbox import letterbox
from keras_simplepose.models.files import save_model
from keras_simplepose.models.layers import PersonCenters
from keras_simplepose.utils.errors import UserError

SIZE, SIDES = (64, 96), (12.0, 24.0)  # The width and height of every box, in input pixels.


@pytest.fixture(scope="module")
def network():
    """Finds a person of those sides where it is red; the redder, the surer."""
    images = keras.Input((*SIZE, 3))
    x = keras.layers.AveragePooling2D(4)(keras.layers.Rescaling(1.0)(images))
    last = keras.layers.Conv2D(5, 1)
    maps = last(x)
    kernel = np.zeros((1, 1, 3, 5), np.float32)
    kernel[..., 0, 0], kernel[..., 1, 0] = 1 / 20, -1 / 20  # Red less green, so that grey is nothing.
    last.set_weights([kernel, np.array([-4, 0, 0, *np.log(np.array(SIDES) / 4)], np.float32)])
    return keras.Model(images, PersonCenters(DetectorSpec(SIZE, (16, 24), 0.5))(maps))


def photograph(*spots):
    """Twice the size of the input: (column, row) of cells, and how red they are."""
    image = np.zeros((2 * SIZE[0], 2 * SIZE[1], 3), np.uint8)
    for column, row, red in spots:
        image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8, 0] = red
    return image


def test_persons_are_where_the_maps_have_them(network):
    found = CenterDetector(network, DetectorConfig())(photograph((5, 4, 200), (16, 9, 240), (11, 4, 60)))
    wanted = [(2 * 4 * column - SIDES[0], 2 * 4 * row - SIDES[1], 24, 48) for column, row in ((16, 9), (5, 4))]
    np.testing.assert_allclose(found.boxes, wanted, atol=1e-3)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(4 - np.array([12, 10]))), rtol=1e-4)


def test_the_threshold_is_the_files_own_unless_one_is_given(network, tmp_path):
    image = photograph((5, 4, 200), (11, 4, 60))
    assert len(CenterDetector(network, DetectorConfig(detector_threshold=0.2))(image)) == 2
    save_model(network, tmp_path / "persons.keras")
    assert len(load_detector(DetectorConfig(detector=str(tmp_path / "persons.keras")))(image)) == 1


def test_the_weaker_of_two_that_overlap_is_dropped(network):
    image = photograph((5, 4, 200), (5, 6, 190))  # 16 of 48 pixels apart: an IoU of a half.
    assert len(CenterDetector(network, DetectorConfig(detector_overlap=0.4))(image)) == 1
    assert len(CenterDetector(network, DetectorConfig(detector_overlap=0.6))(image)) == 2


@pytest.mark.parametrize("size", [(480, 640), (640, 427), (30, 20), (500, 41)])
def test_the_letterbox_of_graphs_is_the_one_of_opencv(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    canvas, factor = letterbox(image, (288, 384))
    run = tf.function(lambda x: letterboxed(x, (288, 384)), input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    found, scale = run(image)
    difference = np.abs(found.numpy() - canvas)
    # OpenCV's weights have 11 bits.
    assert found.shape == (288, 384, 3) and difference.max() <= 1 and (difference > 0).mean() < 0.1
    assert scale.numpy() == pytest.approx(factor)


def test_a_fixed_number_is_filled_up_with_zeros():
    boxes = tf.constant([[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9]])
    found, scores = fixed_number(boxes, tf.constant([0.9, 0.0, 0.4]), 0.3, 3)
    np.testing.assert_array_equal(found, [[1, 2, 3, 4], [9, 9, 9, 9], [0, 0, 0, 0]])
    np.testing.assert_allclose(scores, [0.9, 0.4, 0])
    assert fixed_number(boxes, tf.constant([0.9, 0.8, 0.7]), 0.3, 2)[0].shape == (2, 4)


def test_the_detector_that_ships_goes_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "person_detector").mkdir()  # A folder of that name stands in nobody's way.
    monkeypatch.chdir(tmp_path)
    assert isinstance(load_detector(DetectorConfig()), CenterDetector)
    with pytest.raises(UserError, match="no detector; there is"):
        load_detector(DetectorConfig(detector="weights.pth"))
