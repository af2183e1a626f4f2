import re

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_states import random_state  # noqa: E402

from keras_simplepose.config import ConvertConfig  # noqa: E402
from keras_simplepose.conversion import proof as verification  # noqa: E402
from keras_simplepose.conversion.architecture import Architecture, infer_architecture  # noqa: E402
from keras_simplepose.conversion.converter import convert_checkpoint, is_checkpoint, load_backbone_weights  # noqa: E402
from keras_simplepose.conversion.tensor_names import model_tensors, release_names  # noqa: E402
from keras_simplepose.conversion.torch_networks import build_twin  # noqa: E402
from keras_simplepose.models.files import load_model, save_model  # noqa: E402
from keras_simplepose.models.simple_baselines import build_pose_model  # noqa: E402
from keras_simplepose.utils.errors import UserError  # noqa: E402

SIZE = (64, 96)
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # As torchvision documents.
FEATURE_LIMIT = 1e-4  # Of the largest feature; random MobileNets amplify rounding to 2e-5.
LAST = {"mobilenetv2_pytorch": "features.18.2", "resnet50_pytorch": "layer4.2.relu3"}
CLASSIFIERS = {"mobilenetv2_pytorch": "classifier.1", "resnet50_pytorch": "fc"}


def checkpoint(path, architecture):
    """Writes a random torchvision checkpoint, classifier and all; returns its state without the classifier."""
    state = random_state(architecture)
    name = CLASSIFIERS[architecture.backbone]
    torch.save(state | {f"{name}.weight": torch.zeros(1000, 8), f"{name}.bias": torch.zeros(1000)}, path)
    return state


def feature_difference(model, architecture, state):
    """The largest difference of features from PyTorch's, over PyTorch's largest."""
    crops = verification.random_crops(SIZE)[2:6]
    layer = model.get_layer(LAST[architecture.backbone])
    ours = np.asarray(keras.Model(model.input, layer.output)(crops, training=False))
    twin = build_twin(architecture).eval()
    twin.load_state_dict(state)
    with torch.no_grad():
        pixels = (torch.from_numpy(crops) / 255 - MEAN) / STD
        theirs = twin(pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert np.abs(theirs).max() > 0.1
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


@pytest.mark.parametrize(("backbone", "alpha"), [("mobilenetv2_pytorch", 0.35), ("resnet50_pytorch", 1.0)])
def test_features_are_torchvisions(backbone, alpha, tmp_path):
    architecture = Architecture(backbone, alpha)
    state = checkpoint(tmp_path / "a.pth", architecture)
    head = {"deconv_filters": (8,), "deconv_kernels": (4,), "skip_connections": True}
    model = build_pose_model(backbone, input_size=SIZE, alpha=alpha, **head)
    head = {name: value for name, value in model_tensors(model).items() if name.startswith(("deconv", "skip", "final"))}
    report = load_backbone_weights(model, tmp_path / "a.pth")
    tensors = [name for name in state if not name.endswith("num_batches_tracked")]
    assert f"{len(tensors)} tensors set" in report and f"{CLASSIFIERS[backbone]}.bias" in report
    assert all(np.array_equal(value, model_tensors(model)[name]) for name, value in head.items())
    assert feature_difference(model, architecture, state) < FEATURE_LIMIT
    save_model(model, tmp_path / "a.keras")
    assert feature_difference(load_model(tmp_path / "a.keras"), architecture, state) < FEATURE_LIMIT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "alpha"), [("resnet101_pytorch", 1.0), ("resnet152_pytorch", 1.0), ("mobilenetv2_pytorch", 1.4)]
)
def test_features_of_the_large_are_torchvisions(backbone, alpha, tmp_path, monkeypatch):
    monkeypatch.setitem(LAST, backbone, LAST.get(backbone, "layer4.2.relu3"))
    monkeypatch.setitem(CLASSIFIERS, backbone, CLASSIFIERS.get(backbone, "fc"))
    architecture = Architecture(backbone, alpha)
    state = checkpoint(tmp_path / "a.pth", architecture)
    model = build_pose_model(backbone, input_size=SIZE, alpha=alpha, deconv_filters=(), deconv_kernels=())
    load_backbone_weights(model, tmp_path / "a.pth")
    assert feature_difference(model, architecture, state) < FEATURE_LIMIT


def flat(name):
    """The name an older MobileNetV2 file has: a block's layers in a row, activations counted."""
    match = re.match(r"(features\.(\d+)\.conv)\.(\d+)(?:\.(\d))?\.(weight|bias|running_\w+)$", name)
    if not match:
        return name
    prefix, block, first, second, kind = match.groups()
    units = 1 if block == "1" else 2
    place = int(first) * 3 + int(second) if second else units * 3 + int(first) - units
    return f"{prefix}.{place}.{kind}"


def test_older_names_of_mobilenet_are_the_same_tensors():
    with torch.device("meta"):
        state = build_twin(Architecture("mobilenetv2_pytorch", 0.5)).state_dict()
    state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    old = {flat(name): value for name, value in state.items()}
    assert {"features.1.conv.3.weight", "features.2.conv.7.running_var", "features.18.0.weight"} <= old.keys()
    assert len(old) == len(state) and release_names(old, "x").keys() == state.keys()
    assert all(release_names(old, "x")[name] is value for name, value in state.items())
    assert infer_architecture(release_names(old, "x"), "pytorch", "x") == Architecture("mobilenetv2_pytorch", 0.5)


def parameters(alpha):
    with torch.device("meta"):
        twin = build_twin(Architecture("mobilenetv2_pytorch", alpha))
    return sum(parameter.numel() for parameter in twin.parameters())


def test_mobilenet_has_the_published_size():
    assert parameters(1.0) == 3_504_872 - 1_281_000  # torchvision's count, less the classifier's.


@pytest.mark.parametrize("alpha", [0.35, 1.4])
def test_mobilenet_has_the_size_of_kerass(alpha):
    other = keras.applications.MobileNetV2((32, 32, 3), alpha=alpha, include_top=False, weights=None)
    assert parameters(alpha) == sum(int(np.prod(weight.shape)) for weight in other.trainable_weights)


@pytest.mark.parametrize(
    ("backbone", "named"),
    [
        ("mobilenetv2", "use backbone resnet50_pytorch"),
        ("resnet101_pytorch", "missing: layer3.6.conv1.weight"),
        ("mobilenetv2_pytorch", "left over: conv1.weight"),
    ],
)
def test_another_backbone_is_refused(backbone, named, tmp_path):
    alpha = {"alpha": 0.35} if backbone.startswith("mobilenet") else {}
    checkpoint(tmp_path / "a.pth", Architecture("resnet50_pytorch"))
    model = build_pose_model(backbone, input_size=(32, 32), deconv_filters=(), deconv_kernels=(), **alpha)
    before = [np.asarray(variable).copy() for variable in model.variables]
    with pytest.raises(UserError, match=f"a.pth: .*{named}"):
        load_backbone_weights(model, tmp_path / "a.pth")
    assert all(np.array_equal(now, then) for now, then in zip(model.variables, before, strict=True))


def test_a_pose_network_is_no_backbone(tmp_path):
    torch.save(random_state(Architecture("resnet50_pytorch", 1.0, (8,), (4,), 3)), tmp_path / "a.pth")
    model = build_pose_model("resnet50_pytorch", input_size=(32, 32), deconv_filters=(), deconv_kernels=())
    with pytest.raises(UserError, match="initial_model"):
        load_backbone_weights(model, tmp_path / "a.pth")


def test_torchvisions_backbone_gets_a_new_head_when_asked(tmp_path):
    architecture = Architecture("mobilenetv2_pytorch", 0.35)
    state = checkpoint(tmp_path / "a.pth", architecture)
    conversion = convert_checkpoint(
        ConvertConfig(checkpoint=str(tmp_path / "a.pth"), source="torchvision", skeleton="mpii16", input_size=SIZE)
    )
    assert conversion.architecture == Architecture("mobilenetv2_pytorch", 0.35, (256,) * 3, (4,) * 3, 16)
    assert any("random weights" in setting.origin for setting in conversion.settings)
    assert feature_difference(conversion.model, architecture, state) < FEATURE_LIMIT
    (comparison,) = verification.compare(conversion, {"random": verification.random_crops(SIZE)[:4]})
    assert comparison.heatmap_difference < 1e-5 and comparison.heatmap_maximum > 0


def test_the_trainer_finds_what_tells_the_files_apart():
    assert is_checkpoint("mobilenet_v2-b0353104.pth") and not is_checkpoint("imagenet")
