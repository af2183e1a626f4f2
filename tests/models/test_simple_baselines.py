import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import applications, layers

from keras_simplepose.core.skeletons import COCO17, MPII16
from keras_simplepose.models.backbones.registry import BACKBONES
from keras_simplepose.models.features import HEAD_DEVIATION
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.layers import PixelNormalization
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.utils.errors import UserError

HEAD = {"deconv_filters": (16,), "deconv_kernels": (4,)}
SMALL = {"backbone": "mobilenetv2", "alpha": 0.35, "input_size": (64, 64), **HEAD}


def crops(count=2, size=(64, 64), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


def trainable_count(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.fixture(scope="module")
def small():
    return build_pose_model(**SMALL)


# Counts of the release's networks, and those of the paper's ablations.
@pytest.mark.parametrize(
    ("backbone", "options", "trainable", "total"),
    [
        ("resnet50_pytorch", {}, 33_999_697, 34_054_353),
        ("resnet50_caffe", {}, 33_999_697, 34_054_353),
        pytest.param("resnet101_pytorch", {}, 52_991_825, 53_098_705, marks=pytest.mark.slow),
        pytest.param("resnet152_pytorch", {}, 68_635_473, 68_788_433, marks=pytest.mark.slow),
        ("resnet50_pytorch", {"deconv_kernels": (2, 2, 2)}, 26_135_377, None),
        ("resnet50_pytorch", {"deconv_kernels": (3, 3, 3)}, 29_412_177, None),
        ("resnet50_pytorch", {"deconv_filters": (256, 256), "deconv_kernels": (4, 4)}, 32_950_609, None),
        ("resnet50_pytorch", {"deconv_filters": (128, 128, 128)}, 28_229_585, None),
    ],
)
def test_parameter_counts(backbone, options, trainable, total):
    model = build_pose_model(backbone, **options)
    assert trainable_count(model) == trainable
    assert total is None or model.count_params() == total


QUICK = ("mobilenetv2", "mobilenetv2_pytorch", "mobilenetv3small", "resnet18", "resnet50")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES]
)
def test_every_backbone_gives_heatmaps(name):
    size, head, maps = (64, 96), HEAD, (4, 6)
    if name == "hourglass52":  # Halves five times more, and comes back by itself.
        size, head, maps = (128, 128), {"deconv_filters": (), "deconv_kernels": ()}, (32, 32)
    model = build_pose_model(name, input_size=size, **head)
    assert model.output_shape == (None, *maps, 17)
    heatmaps = np.asarray(model(crops(2, size)))
    assert heatmaps.dtype == np.float32 and np.isfinite(heatmaps).all()
    assert heatmaps.std() > 0


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_each_transposed_convolution_doubles_the_resolution(count):
    model = build_pose_model(**SMALL | {"deconv_filters": (8,) * count, "deconv_kernels": (4, 3, 2, 4, 4)[:count]})
    side = 2 * 2**count
    assert model.output_shape == (None, side, side, 17)
    assert pose_spec(model).heatmap_size == (side, side) and pose_spec(model).stride == 64 / side


def test_integers_and_floats_are_the_same_pixels(small):
    heatmaps, floats, darker = (
        np.asarray(small(pixels)) for pixels in (crops(), crops().astype(np.float32), crops() // 4)
    )
    largest = np.abs(heatmaps).max()  # Tiny: the head starts with small weights.
    assert np.abs(floats - heatmaps).max() < 1e-4 * largest < 1e-2 * largest < np.abs(darker - heatmaps).max()


@pytest.mark.parametrize("name", ["resnet50", "resnet50v2", "mobilenetv2", "mobilenetv3large"])
def test_pixels_are_normalised_as_keras_does(name):
    module = {
        "resnet50": applications.resnet,
        "resnet50v2": applications.resnet_v2,
        "mobilenetv2": applications.mobilenet_v2,
    }.get(name)
    normalization = BACKBONES[name].normalization
    pixels = crops().astype(np.float32)
    ours = PixelNormalization(normalization.mean, normalization.std, normalization.channel_order)(pixels)
    # MobileNetV3's preprocess_input leaves it to a layer of the network: pixels / 127.5 − 1.
    expected = module.preprocess_input(pixels.copy()) if module else pixels / 127.5 - 1
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_heatmaps_are_float32_under_any_policy(precision):
    model = build_pose_model(**SMALL, precision=precision)
    assert keras.config.dtype_policy().name == "float32"
    assert model.get_layer("deconv_layers.0").compute_dtype == precision.removeprefix("mixed_")
    assert model.output.dtype == "float32"
    heatmaps = np.asarray(model(crops()))
    assert heatmaps.dtype == np.float32 and np.isfinite(heatmaps).all()
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)


def test_the_policy_is_put_back_after_an_error():
    with pytest.raises(UserError, match="missing.weights.h5"):
        build_pose_model(**SMALL, backbone_weights="missing.weights.h5", precision="mixed_float16")
    assert keras.config.dtype_policy().name == "float32"


def test_a_saved_model_loads_with_plain_keras(tmp_path):
    """In another process, after nothing but the import of the package."""
    model = build_pose_model(**SMALL | {"skeleton": MPII16, "sigma": 1.5})
    save_model(model, tmp_path / "model.keras")
    np.save(tmp_path / "crops.npy", crops())
    script = """
import json, sys
import keras
import numpy as np
import keras_simplepose
folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras")
np.save(folder + "/heatmaps.npy", model(np.load(folder + "/crops.npy")))
print(json.dumps(keras_simplepose.pose_spec(model).to_dict()))
"""
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    assert json.loads(run.stdout.splitlines()[-1]) == pose_spec(model).to_dict()
    np.testing.assert_allclose(np.load(tmp_path / "heatmaps.npy"), model(crops()), atol=1e-6)


def test_the_specification_survives(tmp_path):
    model = build_pose_model(**SMALL | {"skeleton": MPII16, "sigma": 1.5, "input_size": (64, 32)})
    save_model(model, tmp_path / "model.keras")
    spec = pose_spec(load_model(tmp_path / "model.keras"))
    assert spec == pose_spec(model)
    assert (spec.skeleton, spec.sigma, spec.input_size, spec.heatmap_size) == (MPII16, 1.5, (64, 32), (4, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_files_that_are_no_pose_network_are_refused(tmp_path):
    with pytest.raises(UserError, match="none.keras: no such model file"):
        load_model(tmp_path / "none.keras")
    (tmp_path / "bad.keras").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match="bad.keras: not a Keras model"):
        load_model(tmp_path / "bad.keras")
    other = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    other.save(tmp_path / "other.keras")
    with pytest.raises(UserError, match="other.keras: .*not a pose network"):
        load_model(tmp_path / "other.keras")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet51", "the nearest are .*resnet50"),
        ("MobileNetV2", "the nearest are .*mobilenetv2"),
        ("?", "there is .*resnet50.*mobilenetv2"),
    ],
)
def test_an_unknown_backbone_names_the_nearest(name, message):
    with pytest.raises(UserError, match=f"is unknown; {message}"):
        build_pose_model(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": (100, 64)}, "input_size 100,64 must be height,width, both multiples of 32"),
        ({"input_size": (0, 64)}, "multiples of 32"),
        ({"input_size": (64,)}, "height,width"),
        ({"deconv_kernels": (5,)}, "each must be 2, 3 or 4"),
        ({"deconv_kernels": (4, 4)}, "1 entries and deconv_kernels 2"),
        ({"deconv_filters": (0,)}, "0 to 5 positive numbers"),
        ({"deconv_filters": (8,) * 6, "deconv_kernels": (4,) * 6}, "0 to 5 positive numbers"),
        ({"backbone": "resnet50"}, "alpha is 0.35, but backbone resnet50 has no width multiplier"),
        ({"backbone": "mobilenetv2_pytorch", "backbone_weights": "imagenet"}, "no ImageNet weights"),
        ({"skeleton": "coco18"}, "no skeleton 'coco18'"),
    ],
)
def test_wrong_options_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        build_pose_model(**SMALL | change)


def norms_of(model):
    return [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def test_batch_normalisation_has_the_releases_constants(small):
    """Momentum 0.9 everywhere (PyTorch's 0.1); epsilon 1e-5 wherever the layer is ours."""
    pytorch_style = build_pose_model("mobilenetv2_pytorch", alpha=0.35, input_size=(64, 64), **HEAD)
    assert len(norms_of(small)) == len(norms_of(pytorch_style)) == 53
    assert {layer.momentum for layer in norms_of(small) + norms_of(pytorch_style)} == {0.9}
    assert {layer.epsilon for layer in norms_of(pytorch_style)} == {1e-5}
    assert small.get_layer("deconv_layers.1").epsilon == 1e-5
    assert small.get_layer("bn_Conv1").epsilon == 1e-3  # Its ImageNet weights were trained with that.


def test_momentum_survives_saving(small, tmp_path):
    save_model(small, tmp_path / "model.keras")
    assert {layer.momentum for layer in norms_of(load_model(tmp_path / "model.keras"))} == {0.9}


def test_the_head_starts_as_the_releases(small):
    assert HEAD_DEVIATION == 0.001
    wide = build_pose_model(**SMALL | {"deconv_filters": (64,)})
    kernel = wide.get_layer("deconv_layers.0").kernel
    assert np.std(kernel) == pytest.approx(0.001, rel=0.02) and abs(np.mean(kernel)) < 2e-5
    final = wide.get_layer("final_layer")
    assert np.std(final.kernel) == pytest.approx(0.001, rel=0.15)
    assert not np.any(final.bias) and wide.get_layer("deconv_layers.0").use_bias is False
    norm = wide.get_layer("deconv_layers.1")
    np.testing.assert_array_equal(norm.gamma, np.ones(64))
    np.testing.assert_array_equal(norm.beta, np.zeros(64))


def test_backbone_weights_are_loaded_from_a_file(tmp_path):
    """The very path that ImageNet weights take, with a file that needs no network."""
    reference = applications.MobileNetV2(weights=None, include_top=False, input_shape=(64, 64, 3), alpha=0.35)
    reference.save_weights(tmp_path / "backbone.weights.h5")
    model = build_pose_model(**SMALL, backbone_weights=str(tmp_path / "backbone.weights.h5"))
    features = keras.Model(model.input, model.get_layer("out_relu").output)
    expected = reference(applications.mobilenet_v2.preprocess_input(crops().astype(np.float32)))
    largest = np.abs(expected).max()  # Tiny in a fresh network.
    np.testing.assert_allclose(features(crops()) / largest, expected / largest, atol=1e-4)
    other = build_pose_model(**SMALL)
    features = keras.Model(other.input, other.get_layer("out_relu").output)
    assert np.abs(np.asarray(features(crops())) - np.asarray(expected)).max() > largest / 10


def test_a_width_multiplier_does_not_leak_into_the_next_network():
    narrow, wide = (build_pose_model(**SMALL | {"alpha": alpha}) for alpha in (0.35, 1.0))
    assert build_pose_model(**SMALL).count_params() == narrow.count_params() < wide.count_params()


def test_the_skeleton_gives_the_number_of_heatmaps():
    model = build_pose_model(**SMALL, skeleton="mpii16")
    assert model.output_shape[-1] == 16 and pose_spec(model).skeleton == MPII16
    assert pose_spec(build_pose_model(**SMALL)).skeleton == COCO17


@pytest.mark.parametrize(
    ("backbone", "heard"),
    [
        ("mobilenetv2", ("block_13_expand_relu", "block_6_expand_relu", "block_3_expand_relu")),
        ("resnet18_pytorch", ("layer3.1.relu2", "layer2.1.relu2", "layer1.1.relu2")),
    ],
)
def test_skip_connections_join_the_last_features_that_all_later_ones_come_from(backbone, heard):
    options = SMALL | {"backbone": backbone, "deconv_filters": (16, 12, 8), "deconv_kernels": (4, 4, 4)}
    model = build_pose_model(**options, skip_connections=True)
    for index, name in enumerate(heard):
        assert model.get_layer(f"skip_layers.{2 * index}").input is model.get_layer(name).output
    assert model.output_shape == (None, 16, 16, 17)
    assert model.count_params() > build_pose_model(**options).count_params()


def test_skip_connections_need_features_of_the_resolution():
    options = SMALL | {"deconv_filters": (8,) * 5, "deconv_kernels": (4,) * 5}
    with pytest.raises(UserError, match="skip_connections: the backbone has no features of 64×64"):
        build_pose_model(**options, skip_connections=True)


def test_the_bottleneck_backbone_is_mobilenet_without_its_last_convolution():
    whole = build_pose_model(**SMALL | {"backbone": "mobilenetv2"})
    cut = build_pose_model(**SMALL | {"backbone": "mobilenetv2_bottleneck"})
    missing = {layer.name for layer in whole.layers} - {layer.name for layer in cut.layers}
    assert missing == {"Conv_1", "Conv_1_bn", "out_relu"}
