import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_runs import tiny_network

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.compact import save_compact_model
from keras_simplepose.models.cpn import build_cpn
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.hourglass import build_hourglass
from keras_simplepose.models.layers import Heatmaps
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.models.stages import last_stage, pose_spec, stages
from keras_simplepose.models.visibility import (
    VisibilityLogits,
    VisibilityScaling,
    head_features,
    learning_network,
    visibility_head,
    with_visibility,
)
from keras_simplepose.utils.errors import UserError

SMALL = {"input_size": (64, 64)}


def simple(**options):
    return build_pose_model("mobilenetv2", alpha=0.35, deconv_filters=(8,), deconv_kernels=(4,), **SMALL, **options)


def own_graph():
    """Maps that come out of a layer with two inputs: there are no features to hear."""
    crops = keras.Input((64, 64, 3))
    x = keras.layers.Rescaling(1 / 255)(crops)
    one, two = (keras.layers.Conv2D(17, 5, 4, padding="same", name=name)(x) for name in ("one", "two"))
    maps = keras.layers.Add(name="sum")([one, two])
    return keras.Model(crops, Heatmaps(PoseSpec(COCO17, (64, 64), (16, 16), 2.0), name="end")(maps), name="own")


NETWORKS = {
    "simple": simple,
    "simcc": lambda: simple(codec="simcc"),
    "bfloat16": lambda: simple(precision="mixed_bfloat16"),
    "hourglass": lambda: build_hourglass(2, features=8, **SMALL),
    "cpn": lambda: build_cpn("mobilenetv2", alpha=0.35, features=8, **SMALL),
    "own": own_graph,
}
WITH_FEATURES = {"simple", "bfloat16", "hourglass", "cpn"}


def crops(size=(64, 64), count=3):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype(np.uint8)


def randomised(network, temperature=1.7):
    """Its head's weights drawn, so that probabilities differ."""
    random = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, VisibilityLogits):
            for weight in layer.weights:
                weight.assign(random.normal(0, 0.3, weight.shape))
    visibility_head(network).temperature.assign(temperature)
    return network


def sigmoid(values):
    return np.exp(-np.logaddexp(0, -np.asarray(values, np.float64)))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("bfloat16", "hourglass", "cpn") else name
        for name in NETWORKS
    ],
)
def test_the_last_stages_maps_are_scaled_and_all_else_stays(name, tmp_path):
    keras.utils.set_random_seed(0)
    plain = NETWORKS[name]()
    network = randomised(with_visibility(plain, "visible"))
    assert (head_features(network) is not None) == (name in WITH_FEATURES)
    assert pose_spec(network) == pose_spec(plain) and network.output_names == plain.output_names
    before, after = stages(plain(crops())), stages(network(crops()))
    *maps, logits = learning_network(network)(crops())
    assert len(before) == len(after) == len(maps) and logits.shape == (3, 17) and logits.dtype == "float32"
    for one, two, three in zip(before[:-1], after[:-1], maps[:-1], strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
    np.testing.assert_array_equal(np.asarray(maps[-1], np.float32), before[-1])
    probability = sigmoid(np.asarray(logits) / 1.7)
    assert np.ptp(probability) > 0.01
    np.testing.assert_allclose(after[-1], before[-1] * probability[:, None, None], rtol=1e-5, atol=1e-7)
    save_model(network, tmp_path / "pose.keras")
    loaded = load_model(tmp_path / "pose.keras")
    assert visibility_head(loaded).kind == "visible"
    for one, two in zip(stages(loaded(crops())), after, strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(last_stage(loaded)(crops()), after[-1])
    bare = with_visibility(loaded, "none")
    assert visibility_head(bare) is None and bare.output_names == plain.output_names
    for one, two in zip(stages(bare(crops())), before, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("same_size", [True, False])
def test_logits_are_the_slow_ones(channels, same_size):
    random = np.random.default_rng(4)
    maps = random.normal(0.2, 0.5, (2, 4, 6, 5)).astype(np.float32)
    maps[0, ..., 1] = -1  # Without a positive part there is no place to look at.
    features = random.normal(0, 1, (2, *((4, 6) if same_size else (2, 3)), channels)).astype(np.float32)
    inputs = [maps, features] if channels else [maps]
    layer = VisibilityLogits(hidden_units=7)
    layer.build([value.shape for value in inputs])
    for weight in layer.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    local = channels if same_size else 0
    own, shared, hidden_bias, kernel, bias = (np.asarray(weight, np.float64) for weight in layer.weights)
    assert own.shape == (1 + local, 7) and shared.shape == (5 + channels, 7)
    expected = np.zeros((2, 5))
    for b, k in np.ndindex(2, 5):
        positive = np.maximum(maps[b, :, :, k].astype(np.float64), 0)
        seen = [maps[b, :, :, k].max()]
        for c in range(local):
            seen.append((positive * features[b, :, :, c]).sum() / max(positive.sum(), 1e-12))
        context = [*maps[b].max(axis=(0, 1)), *(features[b].mean(axis=(0, 1)) if channels else [])]
        hidden = np.maximum(np.array(seen) @ own + np.array(context) @ shared + hidden_bias[k], 0)
        expected[b, k] = hidden @ kernel[k] + bias[k]
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-4)
    compiled = tf.function(layer, jit_compile=True)([tf.constant(value) for value in inputs])
    np.testing.assert_allclose(compiled, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "targets"), [("labelled", [0, 1, 1]), ("visible", [0, 0, 1])])
def test_the_loss_is_the_cross_entropy(kind, targets):
    head = VisibilityScaling(kind)
    head.build([(None, 4, 4, 3), (None, 3)])
    head.temperature.assign(2.0)
    logits, flags = np.float32([[-1.0, 0.5, 3.0], [100, -100, 1]]), np.float32([[0, 1, 2], [2, 0, 1]])
    chances = sigmoid(logits[0] / 2)
    expected = -np.mean(np.log(np.where(targets, chances, 1 - chances)))
    losses = np.asarray(head.loss(logits, flags))
    assert losses[0] == pytest.approx(expected, rel=1e-5) and np.isfinite(losses).all()


def test_a_new_head_takes_the_place_of_an_old_one():
    network = randomised(with_visibility(tiny_network(), "labelled"))
    again = with_visibility(network, "visible")
    assert [layer.kind for layer in again.layers if isinstance(layer, VisibilityScaling)] == ["visible"]
    assert again.output_names == network.output_names == ["heatmaps"]
    plain = with_visibility(tiny_network(), "none")
    np.testing.assert_array_equal(again(crops((32, 32))), plain(crops((32, 32))) / 2)


def test_half_precision_files_keep_the_head(tmp_path):
    network = randomised(with_visibility(tiny_network(), "labelled"))
    save_compact_model(network, tmp_path / "half.keras")
    ours, theirs = (each(crops((32, 32))) for each in (network, load_model(tmp_path / "half.keras")))
    np.testing.assert_allclose(ours, theirs, atol=0.01)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_a_temperature_that_is_none_is_refused(temperature, tmp_path):
    network = randomised(with_visibility(tiny_network(), "labelled"), temperature)
    save_model(network, tmp_path / "pose.keras")
    with pytest.raises(UserError, match=r"pose\.keras: .*temperature"):
        load_model(tmp_path / "pose.keras")


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="labelled, visible"):
        VisibilityScaling("present")


def test_the_specification_is_the_last_stages():
    network = with_visibility(build_hourglass(2, features=8, codec="udp", **SMALL), "labelled")
    assert pose_spec(network).codec == "udp" and len(network.outputs) == 2
    assert dataclasses.asdict(pose_spec(last_stage(network))) == dataclasses.asdict(pose_spec(network))
