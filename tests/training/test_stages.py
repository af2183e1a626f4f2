"""A network of two stages from training to prediction: both learn, the last one counts."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_training import configuration, patches, rendered

from keras_simplepose.config import EvaluationConfig, ModelConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.layers import Heatmaps
from keras_simplepose.models.losses import keypoint_mse
from keras_simplepose.models.stages import last_stage, pose_spec
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.training.trainer import train
from keras_simplepose.training.training_model import TrainingModel
from keras_simplepose.utils.errors import UserError

SPEC = PoseSpec(COCO17, (64, 64), (16, 16), 2.0, codec="dark")


def two_stages(first_size=(16, 16)):
    """The second stage sees the first one's heatmaps; layers of the last end are made before those of the first."""
    keras.utils.set_random_seed(0)
    crops = keras.Input((64, 64, 3))
    x = keras.layers.Rescaling(1 / 255)(crops)
    one = keras.layers.Conv2D(17, 7, 4, padding="same", name="one")(x)
    two = keras.layers.Conv2D(17, 3, padding="same", name="two")(one)
    last = Heatmaps(SPEC, name="last")(two)
    if first_size != (16, 16):
        one = keras.layers.MaxPooling2D(2)(one)
    first = Heatmaps(dataclasses.replace(SPEC, heatmap_size=first_size, codec="quarter_offset"), name="first")(one)
    return keras.Model(crops, [first, last])


def test_losses_of_both_stages_are_added():
    model = TrainingModel(two_stages())
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    batch = patches()
    loss, gradients, _ = model.gradient_step(batch)
    crops, targets, weights, _ = model.make_batch(batch)
    with tf.GradientTape() as tape:
        one, two = (tf.reduce_mean(keypoint_mse(maps, targets, weights)) for maps in model.network(crops))
        total = one + two
    assert float(loss) == pytest.approx(float(one) + float(two), rel=1e-5) and min(one, two) > 0
    expected = tape.gradient(total, model.network.trainable_variables)
    for ours, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(model(crops), model.network(crops)[1])


def test_the_last_stage_counts_after_loading(tmp_path):
    network = two_stages()
    save_model(network, tmp_path / "two.keras")
    loaded = load_model(tmp_path / "two.keras")
    assert pose_spec(loaded) == pose_spec(network) == pose_spec(last_stage(loaded)) == SPEC
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    first, last = loaded(crops)
    np.testing.assert_array_equal(last_stage(loaded)(crops), last)
    assert not np.allclose(first, last)
    predictor = PosePredictor.from_model(loaded, EvaluationConfig(flip_test=False))
    heatmaps, _ = predictor.heatmaps(crops[0])
    assert heatmaps.shape == (1, 16, 16, 17)
    np.testing.assert_array_equal(last_stage(last_stage(loaded))(crops), last)


def test_stages_of_other_shapes_are_refused():
    with pytest.raises(UserError, match=r"stage 0 of .* \(8, 8, 17\), its last stage of \(16, 16, 17\)"):
        TrainingModel(two_stages((8, 8)))


@pytest.mark.slow
def test_a_run_of_two_stages_evaluates_and_goes_on(tmp_path):
    save_model(two_stages(), tmp_path / "two.keras")
    model = ModelConfig(initial_model=str(tmp_path / "two.keras"))
    config = configuration(rendered(tmp_path / "set"), tmp_path / "run", model=model)
    (row,) = train(config).rows
    assert 0 < row["loss"] and 0 < row["validation_loss"] and 0 <= row["AP"] <= 1
    assert (tmp_path / "run" / "examples.png").is_file()
    assert len(load_model(tmp_path / "run" / "last.keras").outputs) == 2
    more = dataclasses.replace(config, optimization=dataclasses.replace(config.optimization, epochs=2))
    assert [row["epoch"] for row in train(more).rows] == [0, 1]
