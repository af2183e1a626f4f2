import dataclasses

import keras
import numpy as np
import pytest
from small_training import MODEL, network

from keras_simplepose.config import ModelConfig, TrainingConfig
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.training.network import build_network, load_teacher
from keras_simplepose.utils.errors import UserError


def test_frozen_layers_are_frozen():
    model = dataclasses.replace(MODEL, frozen_layers=("block_1_", "bn_Conv1"))
    built = build_network(TrainingConfig(model))
    frozen = {layer.name for layer in built.layers if not layer.trainable}
    assert frozen == {layer.name for layer in built.layers if layer.name.startswith(("block_1_", "bn_Conv1"))}
    assert len(frozen) > 5
    statistics = build_network(TrainingConfig(dataclasses.replace(MODEL, frozen_layers=("bn_", "*_BN"))))
    frozen_layers = [layer for layer in statistics.layers if not layer.trainable]
    assert len(frozen_layers) == 51
    assert all(isinstance(layer, keras.layers.BatchNormalization) for layer in frozen_layers)
    with pytest.raises(UserError, match="no layer of pose_mobilenetv2 begins with 'blok'"):
        build_network(TrainingConfig(dataclasses.replace(MODEL, frozen_layers=("blok",))))


def test_an_initial_model_replaces_the_options(tmp_path):
    save_model(network(), tmp_path / "model.keras")
    built = build_network(TrainingConfig(ModelConfig(initial_model=str(tmp_path / "model.keras"))))
    np.testing.assert_array_equal(built.get_layer("final_layer").kernel, network().get_layer("final_layer").kernel)


def test_missing_backbone_weights_are_refused():
    with pytest.raises(UserError, match="backbone_weights missing.h5: no such file"):
        build_network(TrainingConfig(dataclasses.replace(MODEL, backbone_weights="missing.h5")))


def test_the_codec_is_stored_and_not_to_be_contradicted(tmp_path):
    dark = build_network(TrainingConfig(dataclasses.replace(MODEL, codec="dark")))
    save_model(dark, tmp_path / "dark.keras")
    assert pose_spec(load_model(tmp_path / "dark.keras")).codec == "dark"
    save_model(network(), tmp_path / "quarter.keras")
    with pytest.raises(UserError, match="codec is dark, but .*quarter.keras has heatmaps of quarter_offset"):
        build_network(TrainingConfig(ModelConfig(initial_model=str(tmp_path / "quarter.keras"), codec="dark")))
    for codec in ("dark", ModelConfig.codec):
        again = build_network(TrainingConfig(ModelConfig(initial_model=str(tmp_path / "dark.keras"), codec=codec)))
        assert pose_spec(again).codec == "dark"


def test_options_of_another_architecture_are_refused():
    config = TrainingConfig(ModelConfig(architecture="hourglass", backbone="resnet101"))
    with pytest.raises(UserError, match="backbone is 'resnet101', but architecture hourglass has no such option"):
        build_network(config)


def test_a_teacher_of_other_heatmaps_is_refused(tmp_path):
    save_model(build_network(TrainingConfig(MODEL)), tmp_path / "teacher.keras")
    spec, name = pose_spec(network()), str(tmp_path / "teacher.keras")
    with pytest.raises(UserError, match="teacher.keras: its heatmap size must be the network's, .*16, 16.* is .*4, 4"):
        load_teacher(name, dataclasses.replace(spec, heatmap_size=(16, 16)))
    teacher = load_teacher(name, spec)
    assert teacher is not None and not teacher.trainable_variables
    assert load_teacher("", spec) is None


def test_initial_layers_are_set_where_they_fit(tmp_path, capsys):
    save_model(build_network(TrainingConfig(MODEL)), tmp_path / "narrow.keras")
    theirs = load_model(tmp_path / "narrow.keras")
    wide = dataclasses.replace(MODEL, deconv_filters=(24,), initial_layers=str(tmp_path / "narrow.keras"))
    built = build_network(TrainingConfig(wide))
    new = {"deconv_layers.0", "deconv_layers.1", "final_layer"}
    for layer in (layer for layer in built.layers if layer.weights and layer.name not in new):
        for ours, other in zip(layer.get_weights(), theirs.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, other)
    count = sum(bool(layer.weights) for layer in built.layers)
    assert (
        f"set {count - 3} of the {count} layers of pose_mobilenetv2 that have weights; new: " in capsys.readouterr().out
    )
    with pytest.raises(UserError, match="initial_layers .*: pose_resnet18_pytorch has no layer of the same name"):
        build_network(TrainingConfig(dataclasses.replace(wide, backbone="resnet18_pytorch", alpha=0.25)))
