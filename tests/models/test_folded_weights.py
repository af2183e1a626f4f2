import keras
import numpy as np
import pytest
from keras import layers

from keras_simplepose.models.cpn import build_cpn
from keras_simplepose.models.folded_weights import load_folded_weights, read_folded_weights
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.utils.errors import UserError

SIZE = (64, 96)
OPTIONS = {"alpha": 0.35, "input_size": SIZE, "deconv_filters": (8,), "deconv_kernels": (4,)}
LAST = {
    "mobilenetv2": "out_relu",
    "mobilenetv2_bottleneck": "block_16_project_BN",
    "mobilenetv2_block13": "block_13_project_BN",
}
COUNTS = {"mobilenetv2": 52, "mobilenetv2_bottleneck": 51, "mobilenetv2_block13": 42}


def backbone_convolutions(model):
    kinds = layers.Conv2D | layers.DepthwiseConv2D
    return [layer for layer in model.layers if isinstance(layer, kinds) and not layer.name.startswith("final")]


def folded_tensors(seed=0):
    """A file's content for width 0.35: kernels that keep the scale of what they take, and biases."""
    random = np.random.default_rng(seed)
    tensors = {}
    model = build_pose_model("mobilenetv2", **OPTIONS)
    convolutions = [layer for layer in backbone_convolutions(model) if "deconv" not in layer.name]
    for index, layer in enumerate(convolutions):
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        shape, kind = tuple(layer.kernel.shape), "depthwise" if depthwise else "conv"
        deviation = np.sqrt(1.5 / np.prod(shape[:2] if depthwise else shape[:3]))
        tensors[f"{index:02d}_{kind}_kernel"] = random.normal(0, deviation, shape).astype(np.float16)
        channels = shape[2] if depthwise else shape[3]
        tensors[f"{index:02d}_{kind}_bias"] = random.normal(0.2, 0.3, channels).astype(np.float16)
    return tensors


@pytest.fixture(scope="module")
def tensors():
    return folded_tensors()


@pytest.fixture(scope="module")
def file(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("folded") / "features.npz"
    np.savez(path, **tensors)
    return path


def random_crops(count, size=SIZE, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3)).astype(np.float32)


def run_folded(tensors, crops, count):
    """The folded network, written down anew: "same" padding, ReLU6 but after a block's last, sums where they fit."""
    x = crops / 127.5 - 1
    names = sorted({name.rpartition("_")[0] for name in tensors})[:count]
    shortcut, strides = None, {0: 2, 4: 2, 10: 2, 19: 2, 40: 2}
    for index, name in enumerate(names):
        kernel, bias = (tensors[f"{name}_{part}"].astype(np.float32) for part in ("kernel", "bias"))
        stride = strides.get(index, 1)
        convolve = keras.ops.depthwise_conv if "depthwise" in name else keras.ops.conv
        begins_block = index > 2 and index % 3 == 0 and index < 51
        if begins_block:
            shortcut = x
        x = convolve(x, kernel, stride, "same") + bias
        ends_block = index == 2 or (index > 2 and index % 3 == 2)
        if not ends_block:
            x = keras.ops.clip(x, 0, 6)
        elif shortcut is not None and shortcut.shape == x.shape:
            x = x + shortcut
    return np.asarray(x)


def features(model, backbone, crops, training):
    return np.asarray(keras.Model(model.input, model.get_layer(LAST[backbone]).output)(crops, training=training))


@pytest.mark.parametrize("backbone", LAST)
def test_the_function_is_the_files_in_inference_and_in_training(backbone, tensors, file):
    model = build_pose_model(backbone, **OPTIONS)
    before = [np.array(value) for value in model.get_layer("deconv_layers.0").get_weights()]
    crops = random_crops(8)
    line = load_folded_weights(model, file, [crops[:4], crops[4:]])
    assert f"{COUNTS[backbone]} convolutions set" in line and "statistics of 8 crops" in line
    assert ("not used: " in line and "51_conv" in line) == (COUNTS[backbone] < 52)
    others = random_crops(3, seed=2)
    wanted = run_folded(tensors, others, COUNTS[backbone])
    assert np.abs(wanted).max() > 0.1
    assert np.allclose(features(model, backbone, others, False), wanted, atol=1e-4)
    # The statistics of these crops are those it has, so a training step computes the same function.
    assert np.allclose(features(model, backbone, crops, True), features(model, backbone, crops, False), atol=2e-3)
    assert all(
        np.array_equal(a, b) for a, b in zip(before, model.get_layer("deconv_layers.0").get_weights(), strict=True)
    )


def test_another_architectures_head_is_left_alone(tensors, file):
    model = build_cpn("mobilenetv2_bottleneck", alpha=0.35, input_size=SIZE, features=8)
    convolution = model.get_layer("global.0.conv").get_weights()
    load_folded_weights(model, file, [random_crops(4)])
    layer = model.get_layer("block_16_project")
    np.testing.assert_array_equal(layer.get_weights()[0], tensors["50_conv_kernel"].astype(np.float32))
    np.testing.assert_array_equal(model.get_layer("global.0.conv").get_weights()[0], convolution[0])


def test_a_channel_that_never_changes_is_safe(tensors, tmp_path):
    dead = dict(tensors)
    dead["03_conv_kernel"] = dead["03_conv_kernel"].copy()
    dead["03_conv_kernel"][..., 1] = 0
    np.savez(tmp_path / "dead.npz", **dead)
    model = build_pose_model("mobilenetv2", **OPTIONS)
    crops = random_crops(4)
    load_folded_weights(model, tmp_path / "dead.npz", [crops])
    assert all(np.all(np.isfinite(value)) for value in model.get_weights())
    assert np.allclose(features(model, "mobilenetv2", crops, False), run_folded(dead, crops, 52), atol=1e-4)
    assert np.allclose(features(model, "mobilenetv2", crops, True), run_folded(dead, crops, 52), atol=2e-3)


def without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def with_tensor(name, value):
    return lambda tensors: tensors | {name: np.asarray(value, np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("07_depthwise_bias"), "07_depthwise_bias is missing"),
        (
            lambda tensors: {name: value for name, value in tensors.items() if int(name[:2]) < 50},
            "holds 50 convolutions, the backbone of pose_mobilenetv2 has 52: 50, block_16_project, is missing",
        ),
        (lambda tensors: {name: value for name, value in tensors.items() if name[:2] != "05"}, "06_conv stands where"),
        (with_tensor("03_conv_kernel", np.zeros((1, 1, 8, 47))), "03_conv_kernel is 1×1×8×47, block_1_expand takes"),
        (with_tensor("03_conv_bias", np.zeros(47)), "03_conv_bias is 47, block_1_expand takes 48"),
        (with_tensor("03_conv_bias", np.full(48, np.nan)), "03_conv_bias is not of finite"),
        (with_tensor("gamma", np.zeros(3)), "tensor gamma is none of"),
        (lambda tensors: {}, "holds 0 convolutions"),
    ],
)
def test_what_does_not_fit_is_named(change, message, tensors, tmp_path):
    np.savez(tmp_path / "wrong.npz", **change(tensors))
    model = build_pose_model("mobilenetv2", **OPTIONS)
    with pytest.raises(UserError, match=message) as caught:
        load_folded_weights(model, tmp_path / "wrong.npz", [random_crops(2)])
    assert "\n" not in str(caught.value)


def test_a_backbone_of_other_pixels_is_refused(file):
    model = build_pose_model("mobilenetv2_pytorch", **OPTIONS)
    with pytest.raises(UserError, match="pixels of −1 to 1.*backbone mobilenetv2"):
        load_folded_weights(model, file, [random_crops(2)])


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="a.npz: not a whole .npz"):
        read_folded_weights(tmp_path / "a.npz")
    with pytest.raises(UserError, match="no such file"):
        read_folded_weights(tmp_path / "b.npz")


@pytest.mark.slow
def test_movenets_features_come_out_as_they_are(shared_data):
    cv2 = pytest.importorskip("cv2")
    path = shared_data / "weights" / "movenet_lightning_backbone.npz"
    names = sorted((shared_data / "images" / "val").iterdir())[:16]
    crops = np.stack([cv2.resize(cv2.imread(str(name))[..., ::-1], (160, 192)) for name in names]).astype(np.float32)
    model = build_pose_model("mobilenetv2", input_size=(192, 160), deconv_filters=(), deconv_kernels=())
    load_folded_weights(model, path, [crops])
    with np.load(path) as content:
        wanted = run_folded({name: content[name] for name in content.files}, crops[:4], 52)
    assert np.abs(features(model, "mobilenetv2", crops[:4], False) - wanted).max() < 1e-3
