import collections
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_states import pose_state, random_state  # noqa: E402

from keras_simplepose.config import ConvertConfig  # noqa: E402
from keras_simplepose.conversion import converter  # noqa: E402
from keras_simplepose.conversion import proof as verification  # noqa: E402
from keras_simplepose.conversion.architecture import (  # noqa: E402
    Architecture,
    detect_source,
    drop_classifier,
    infer_architecture,
)
from keras_simplepose.conversion.converter import convert_checkpoint, export_checkpoint  # noqa: E402
from keras_simplepose.conversion.tensor_names import model_tensors, release_names, set_tensors, tensor_slots  # noqa: E402
from keras_simplepose.conversion.torch_files import read_checkpoint  # noqa: E402
from keras_simplepose.conversion.torch_networks import build_twin  # noqa: E402
from keras_simplepose.core.skeletons import COCO17  # noqa: E402
from keras_simplepose.core.spec import PoseSpec  # noqa: E402
from keras_simplepose.models.backbones.registry import Normalization  # noqa: E402
from keras_simplepose.models.files import load_model, save_model  # noqa: E402
from keras_simplepose.models.layers import PixelNormalization  # noqa: E402
from keras_simplepose.models.simple_baselines import build_pose_model  # noqa: E402
from keras_simplepose.models.stages import pose_spec  # noqa: E402
from keras_simplepose.models.visibility import with_visibility  # noqa: E402
from keras_simplepose.utils.errors import UserError  # noqa: E402

SIZE = (64, 96)
VARIANT = {"filters": (32, 24, 16), "kernels": (4, 3, 2)}  # Every kernel, no default width: one build covers them.


def as_mmpose(state, head):
    def name(old):
        return f"{head}.{old}" if old.startswith(("deconv_layers", "final_layer")) else f"backbone.{old}"

    return {"meta": {"epoch": 210}, "state_dict": {name(old): value for old, value in state.items()}}


def settings_of(conversion):
    return {setting.name: setting for setting in conversion.settings}


def verified(conversion, size=SIZE):
    (comparison,) = verification.compare(conversion, {"random": verification.random_crops(size)[2:6]})
    return comparison


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A converted official checkpoint, its path and its tensors."""
    architecture, state = pose_state(50, "pytorch", **VARIANT)
    path = tmp_path_factory.mktemp("official") / "model_best.pth.tar"
    torch.save({f"module.{name}": value for name, value in state.items()}, path)
    return convert_checkpoint(ConvertConfig(checkpoint=str(path), input_size=SIZE)), architecture, state


def test_official_network_is_pytorchs(official):
    conversion, architecture, _ = official
    assert conversion.architecture == architecture
    comparison = verified(conversion)
    assert comparison.agrees, comparison
    assert comparison.heatmap_maximum > 0.1 and comparison.ties < comparison.points / 10


def test_conventions_of_the_release_are_shown(official):
    conversion, _, _ = official
    settings = settings_of(conversion)
    assert settings["source"].value == "official"
    assert settings["channel order"].value == "bgr" and "channel_order" in settings["channel order"].origin
    assert settings["mean"].value == "123.675,116.28,103.53" and settings["std"].value == "58.395,57.12,57.375"
    assert settings["input size"].value == "64,96" and settings["input size"].origin == "given"
    assert settings["sigma"].value == "2" and settings["codec"].value == "quarter_offset"
    assert "tensors do not show it" in settings["style"].origin
    spec = pose_spec(conversion.model)
    assert spec.skeleton.name == "coco17" and spec.sigma == 2 and spec.stride == 4
    assert all(setting.name in converter.report(conversion.settings) for setting in conversion.settings)


def test_saved_model_and_its_checkpoint_are_the_same_weights(official, tmp_path):
    conversion, architecture, state = official
    save_model(conversion.model, tmp_path / "a.keras")
    model = load_model(tmp_path / "a.keras")
    settings = {each.name: each for each in export_checkpoint(model, tmp_path / "a.pth.tar")}
    assert settings["style"].value == "pytorch" and settings["channel order"].value == "bgr"
    written = torch.load(tmp_path / "a.pth.tar", weights_only=True)
    wanted = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    assert written.keys() == wanted.keys()
    assert all(torch.equal(written[name], wanted[name]) for name in wanted)
    missing, unexpected = build_twin(architecture).load_state_dict(written, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)


def test_mmpose_network_of_caffe_style_and_mpii_is_pytorchs(tmp_path):
    architecture, state = pose_state(50, "caffe", keypoints=16, filters=(16, 8), kernels=(4, 4))
    torch.save(as_mmpose(state, "head"), tmp_path / "td-hm_res50_8xb64_mpii-64x64.pth")
    conversion = convert_checkpoint(
        ConvertConfig(checkpoint=str(tmp_path / "td-hm_res50_8xb64_mpii-64x64.pth"), style="caffe")
    )
    settings = settings_of(conversion)
    assert conversion.architecture == architecture
    assert settings["source"].value == "mmpose" and settings["channel order"].value == "rgb"
    assert settings["input size"].value == "64,64" and "file's name" in settings["input size"].origin
    assert pose_spec(conversion.model).skeleton.name == "mpii16" and pose_spec(conversion.model).stride == 8
    assert verified(conversion, (64, 64)).agrees


@pytest.mark.parametrize("head", ["keypoint_head", "head"])
def test_mmposes_hourglass_of_one_stack_is_pytorchs(tmp_path, monkeypatch, head):
    from keras_simplepose.models.backbones import hourglass52

    monkeypatch.setattr(hourglass52, "CHANNELS", (8, 8, 12, 12, 12, 16))  # As narrow as a test can bear.
    monkeypatch.setattr(hourglass52, "STEM_CHANNELS", 8)
    architecture = Architecture("hourglass52", keypoints=17)
    state = random_state(architecture, side=128)
    tensors = {
        f"{head}.multi_final_layers.0.{name.removeprefix('final_layer.')}"
        if name.startswith("final_layer")
        else f"backbone.{name}": value
        for name, value in state.items()
    }
    tensors["backbone.inters.0.conv1.weight"] = torch.zeros(8, 8, 3, 3)  # Is there, and nothing goes through it.
    torch.save({"state_dict": tensors}, tmp_path / "hourglass52_coco_128x128.pth")
    conversion = convert_checkpoint(ConvertConfig(checkpoint=str(tmp_path / "hourglass52_coco_128x128.pth")))
    assert conversion.architecture == architecture and settings_of(conversion)["channel order"].value == "rgb"
    assert "inters.0.conv1" in settings_of(conversion)["not used"].value
    assert pose_spec(conversion.model).heatmap_size == (32, 32)
    comparison = verified(conversion, (128, 128))
    assert comparison.agrees and comparison.heatmap_maximum > 0.1, comparison


def test_an_hourglass_takes_multiples_of_128_and_no_transposed_convolutions():
    with pytest.raises(UserError, match="input_size 256,192: backbone hourglass52 takes multiples of 128"):
        build_pose_model("hourglass52", deconv_filters=(), deconv_kernels=())


def test_verification_sees_a_wrong_weight_style_or_channel_order(official):
    conversion, architecture, _ = official
    tensors = dict(conversion.tensors)
    tensors["layer3.2.bn2.running_var"] = tensors["layer3.2.bn2.running_var"] * 1.01
    caffe = dataclasses.replace(architecture, backbone="resnet50_caffe")
    rgb = dataclasses.replace(conversion.normalization, channel_order="rgb")
    for wrong in ({"tensors": tensors}, {"architecture": caffe}, {"normalization": rgb}):
        assert not verified(dataclasses.replace(conversion, **wrong)).agrees, wrong.keys()


def test_images_are_cut_as_prediction_cuts_them(official, tmp_path):
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 256, (50, 120, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (tmp_path / "notes.txt").write_text("no image")
    (crop,) = verification.image_crops(tmp_path, SIZE)
    scale = SIZE[1] / (120 * 1.25)  # The image is wider than the input, so its width decides.
    matrix = np.array([[scale, 0, SIZE[1] / 2 - scale * 60], [0, scale, SIZE[0] / 2 - scale * 25]])
    wanted = cv2.warpAffine(image[..., ::-1], matrix, SIZE[::-1], flags=cv2.INTER_LINEAR)
    assert np.abs(crop - wanted).mean() < 2  # OpenCV's weights have 5 bits.
    (comparison,) = verification.compare(official[0], {"images": crop[None]})
    assert comparison.agrees and comparison.count == 1
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"b\.png"):
        verification.image_crops(tmp_path, SIZE)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no image there"):
        verification.image_crops(empty, SIZE)


def test_comparison_measures_heatmaps_and_points():
    spec = PoseSpec(COCO17, (32, 32), (8, 8), 2.0)
    heatmaps = np.zeros((1, 8, 8, 2), np.float32)
    heatmaps[0, 4, 4, 0], heatmaps[0, 4, 5, 0], heatmaps[0, 3, 4, 0] = 1, 0.5, 0.25
    heatmaps[0, 2, 5, 1], heatmaps[0, 2, 4, 1], heatmaps[0, 1, 5, 1] = 0.7, 0.5, 0.25
    same = verification.compare_heatmaps(heatmaps + np.float32(3e-5), heatmaps, spec, "a")
    assert same.agrees and same.ties == 0 and same.points == 2
    assert same.heatmap_difference == pytest.approx(3e-5, rel=1e-2) and same.heatmap_maximum == 1
    other = heatmaps.copy()
    other[0, 4, 3, 0] = 0.6  # The quarter offset points the other way: half a heatmap pixel.
    moved = verification.compare_heatmaps(other, heatmaps, spec, "a")
    assert moved.heatmap_difference == pytest.approx(0.6) and not moved.agrees
    nearly = heatmaps.copy()
    nearly[0, 4, 3, 0] = 0.5 - 2e-5  # Left and right are as good as equal, and rounding may decide.
    tied = verification.compare_heatmaps(nearly + tip(4e-5), nearly, spec, "a")
    assert tied.ties == 1 and tied.agrees
    assert not verification.compare_heatmaps(np.full_like(heatmaps, np.nan), heatmaps, spec, "a").agrees
    assert not verification.compare_heatmaps(heatmaps * 0, heatmaps * 0, spec, "a").agrees  # Nothing but ties.


def tip(size):
    """A difference at the left neighbour of keypoint 0's maximum."""
    difference = np.zeros((1, 8, 8, 2), np.float32)
    difference[0, 4, 3, 0] = size
    return difference


def tiny(model, value=0.0):
    return {name: np.full(slot.torch_shape, value, np.float32) for name, slot in tensor_slots(model).items()}


def test_all_tensors_or_none():
    model = build_pose_model("resnet50_pytorch", input_size=(32, 32), deconv_filters=(), deconv_kernels=())
    tensors = tiny(model)
    before = {name: value.copy() for name, value in model_tensors(model).items()}
    faults = {
        "missing: layer2.3.conv3.weight": {k: v for k, v in tensors.items() if k != "layer2.3.conv3.weight"},
        "left over: head.extra": tensors | {"head.extra": np.zeros(1, np.float32)},
        "bn1.weight is 65, not 64": tensors | {"bn1.weight": np.zeros(65, np.float32)},
        "conv1.weight is 7×7×3×64, not 64×3×7×7": tensors | {"conv1.weight": np.zeros((7, 7, 3, 64), np.float32)},
    }
    for message, given in faults.items():
        with pytest.raises(UserError, match=f"the file: .*{message}"):
            set_tensors(model, given, "the file")
    assert all(np.array_equal(value, before[name]) for name, value in model_tensors(model).items())
    set_tensors(model, tiny(model, 0.5), "the file")
    assert all(np.all(value == 0.5) for value in model_tensors(model).values())


def names(state):
    """Arrays that take no memory, for what looks at names and shapes only."""
    return {name: np.broadcast_to(np.float32(0), tuple(value.shape)) for name, value in state.items()}


def meta_state(architecture):
    with torch.device("meta"):
        return build_twin(architecture).state_dict()


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize(
    ("filters", "kernels", "keypoints"),
    [((256, 256, 256), (4, 4, 4), 17), ((128, 64), (2, 3), 16), ((), (), 3), ((8, 8, 8, 8), (3, 3, 3, 3), 133)],
)
def test_architecture_is_told_from_tensors(depth, filters, kernels, keypoints):
    architecture = Architecture(f"resnet{depth}_caffe", 1.0, filters, kernels, keypoints)
    state = names(meta_state(architecture))
    for head in ("head", "keypoint_head"):
        renamed = release_names(as_mmpose(state, head)["state_dict"], "x")
        assert renamed.keys() == state.keys()
        assert infer_architecture(renamed, "caffe", "x") == architecture


@pytest.mark.parametrize(
    ("depth", "filters", "kernels", "parameters"),
    [
        (50, (256,) * 3, (4,) * 3, 33_999_697),
        (101, (256,) * 3, (4,) * 3, 52_991_825),
        (152, (256,) * 3, (4,) * 3, 68_635_473),
        (50, (256,) * 3, (2,) * 3, 26_135_377),
        (50, (256,) * 3, (3,) * 3, 29_412_177),
        (50, (256,) * 2, (4,) * 2, 32_950_609),
    ],
)
def test_the_pytorch_network_has_the_published_size(depth, filters, kernels, parameters):
    with torch.device("meta"):
        twin = build_twin(Architecture(f"resnet{depth}_pytorch", 1.0, filters, kernels, 17))
    assert sum(parameter.numel() for parameter in twin.parameters()) == parameters


@pytest.mark.parametrize(("depth", "alpha"), [(18, 0.25), (34, 1.0), (50, 0.5)])
def test_small_resnets_are_told_from_tensors(depth, alpha):
    architecture = Architecture(f"resnet{depth}_pytorch", alpha, (32,), (4,), 17)
    assert infer_architecture(names(meta_state(architecture)), "pytorch", "x") == architecture


def test_basic_blocks_have_no_caffe_style():
    state = names(meta_state(Architecture("resnet18_pytorch", 1.0, (8,), (4,), 17)))
    with pytest.raises(UserError, match="ResNet-18, which has no caffe style"):
        infer_architecture(state, "caffe", "x")


def test_small_resnet_there_and_back(tmp_path):
    architecture = Architecture("resnet18_pytorch", 0.25, (16, 8, 8), (4, 4, 4), 17)
    state = random_state(architecture)
    torch.save(state, tmp_path / "a.pth")
    conversion = convert_checkpoint(ConvertConfig(checkpoint=str(tmp_path / "a.pth"), input_size=SIZE))
    comparison = verified(conversion)
    assert comparison.agrees and comparison.heatmap_maximum > 0.1, comparison
    export_checkpoint(conversion.model, tmp_path / "b.pth")
    assert all(torch.equal(value, state[name]) for name, value in torch.load(tmp_path / "b.pth").items())


def test_source_is_told_from_names():
    assert detect_source(["conv1.weight", "deconv_layers.0.weight", "final_layer.weight"]) == "official"
    assert detect_source(["backbone.conv1.weight", "head.final_layer.weight"]) == "mmpose"
    assert detect_source(["conv1.weight", "fc.weight"]) == "torchvision"


def test_two_networks_in_one_file_are_refused():
    with pytest.raises(UserError, match="two of its tensors are final_layer.bias"):
        release_names({"head.final_layer.bias": 0, "keypoint_head.final_layer.bias": 0}, "x")


def resnet50():
    return names(meta_state(Architecture("resnet50_pytorch", 1.0, (256,), (4,), 17)))


def without(state, start):
    return {name: value for name, value in state.items() if not name.startswith(start)}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s | {"transition1.0.0.weight": s["conv1.weight"]}, "HRNet.*transition1"),
        (lambda s: s | {"stage2.0.branches.0.0.conv1.weight": s["conv1.weight"]}, "HRNet"),
        (lambda s: {k: v for k, v in without(s, "layer3.5.").items() if "conv3" not in k}, "basic blocks; .* 18 or 34"),
        (lambda s: without(s, "layer3.5."), "3, 4, 5, 3 bottleneck blocks; .* 50 or 101 or 152"),
        (lambda s: without(s, "layer4."), "3, 4, 6 bottleneck blocks"),
        (lambda s: without(s, "final_layer."), "final_layer.weight is missing"),
        (lambda s: s | {"deconv_layers.0.weight": np.zeros((8, 8, 5, 5))}, "deconv_layers.0.weight has shape"),
        (
            lambda s: {"hourglass_modules.0.up1.0.bn1.bias": 0, "hourglass_modules.1.up1.0.bn1.bias": 0},
            "a stacked Hour",
        ),
        (lambda s: {"pre.0.weight": 0, "hgs.0.0.weight": 0}, "a stacked Hourglass"),
        (lambda s: {"stage1.0.conv.weight": 0, "cls_x.weight": 0}, "a SimCC network"),
        (lambda s: {"blocks.0.attn.qkv.weight": 0}, "transformer"),
        (lambda s: {"encoder.weight": 0}, "neither .* but encoder.weight"),
        (lambda s: {}, "no tensor"),
    ],
)
def test_other_architectures_are_named(change, named):
    with pytest.raises(UserError, match=f"the file: .*{named}"):
        infer_architecture(change(resnet50()), "pytorch", "the file")


def config_for(tmp_path, state, name="a.pth.tar", **options):
    torch.save(collections.OrderedDict(state), tmp_path / name)
    return ConvertConfig(checkpoint=str(tmp_path / name), **options)


def small_state(keypoints=17):
    """A pose ResNet's tensors, all zero; cheap, and refused before a model is built."""
    state = resnet50() | {
        "final_layer.weight": np.zeros((keypoints, 256, 1, 1)),
        "final_layer.bias": np.zeros(keypoints),
    }
    return {name: torch.zeros(value.shape) for name, value in state.items()}


@pytest.mark.parametrize(
    ("keypoints", "options", "named"),
    [
        (14, {}, "14 heatmaps.*give the option skeleton"),
        (14, {"skeleton": "coco17"}, "14 heatmaps, but skeleton coco17 has 17"),
        (15, {"skeleton": "posetrack15"}, "give input_size"),
        (17, {"source": "torchvision"}, "has a pose head"),
        (17, {"input_size": (100, 64)}, "multiples of 32"),
    ],
)
def test_what_cannot_be_told_must_be_given(keypoints, options, named, tmp_path):
    with pytest.raises(UserError, match=named):
        convert_checkpoint(config_for(tmp_path, small_state(keypoints), **options))


@pytest.mark.parametrize("source", ["auto", "mmpose", "torchvision"])
@pytest.mark.parametrize("head", ["head", "keypoint_head"])
def test_a_regression_of_coordinates_is_called_so(head, source, tmp_path):
    state = {f"backbone.{name}": value for name, value in without(small_state(), ("deconv", "final")).items()}
    state |= {f"{head}.fc.weight": torch.zeros(34, 2048), f"{head}.fc.bias": torch.zeros(34)}
    with pytest.raises(UserError, match=f"DeepPose or another regression .*{head}.fc.weight"):
        convert_checkpoint(config_for(tmp_path, state, source=source))


def test_an_animals_checkpoint_is_not_a_persons(tmp_path):
    config = config_for(tmp_path, small_state(), "td-hm_res50_8xb64-210e_ap10k-64x64.pth")
    with pytest.raises(UserError, match="AP-10K .*the option skeleton"):
        convert_checkpoint(config)
    meta = {"dataset_meta": {"dataset_name": "ap10k", "sigmas": np.ones(17)}}
    torch.save({"meta": meta, "state_dict": small_state()}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="AP-10K .*the checkpoint's notes"):
        convert_checkpoint(ConvertConfig(checkpoint=str(tmp_path / "a.pth")))


def test_the_report_warns_of_codecs_and_says_which_weights(tmp_path):
    state = small_state()
    averaged = {name: value + 1 for name, value in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "res50_coco_64x64_dark.pth")
    config = ConvertConfig(checkpoint=str(tmp_path / "res50_coco_64x64_dark.pth"))
    conversion = convert_checkpoint(config)
    settings = settings_of(conversion)
    assert settings["skeleton"].origin.startswith("COCO, file's name")
    assert "dark" in settings["codec"].value + settings["codec"].origin
    assert settings["weights"].value == "state_dict" and "state_dict_ema" in settings["weights"].origin
    assert not conversion.tensors["conv1.weight"].any()
    conversion = convert_checkpoint(dataclasses.replace(config, weights="ema"))
    assert settings_of(conversion)["weights"].value == "state_dict_ema"
    assert (conversion.tensors["conv1.weight"] == 1).all()


def test_a_path_that_speaks_of_caffe_needs_a_style(tmp_path):
    config = config_for(tmp_path, small_state(), "pose_resnet_50_caffe.pth.tar")
    with pytest.raises(UserError, match="say with style whether it is caffe or pytorch"):
        convert_checkpoint(config)


def test_a_backbone_alone_is_no_pose_network(tmp_path):
    state = without(small_state(), ("deconv_layers", "final_layer")) | {"fc.bias": torch.zeros(1000)}
    with pytest.raises(UserError, match="backbone resnet50_pytorch and backbone_weights"):
        convert_checkpoint(config_for(tmp_path, state))
    assert drop_classifier(state)[1] == ["fc.bias"]


def test_overrides_reach_the_model(tmp_path):
    given = {"channel_order": "rgb", "mean": (1.0, 2.0, 3.0), "std": (4.0, 5.0, 6.0), "sigma": 1.5}
    config = config_for(tmp_path, small_state(), "pose_384x288.pth.tar", input_size=(64, 64), **given)
    model = convert_checkpoint(config).model
    (pixels,) = [layer for layer in model.layers if isinstance(layer, PixelNormalization)]
    assert Normalization(pixels.mean, pixels.std, pixels.channel_order) == Normalization(
        given["mean"], given["std"], "rgb"
    )
    assert pose_spec(model).sigma == 1.5 and pose_spec(model).input_size == (64, 64)


@pytest.mark.parametrize(
    ("name", "size", "sigma"),
    [
        ("pose_resnet_50_384x288.pth.tar", (384, 288), 3.0),
        ("res50_coco_256x192-ec54d7f3_20200709.pth", (256, 192), 2.0),
        ("model_best.pth.tar", (256, 192), 2.0),
        ("td-hm_res50_8xb64-210e_coco-384x288.pth", (384, 288), 3.0),
    ],
)
def test_input_size_is_told_from_the_name(name, size, sigma, tmp_path):
    (tmp_path / "640x480").mkdir()
    spec = pose_spec(convert_checkpoint(config_for(tmp_path, small_state(), f"640x480/{name}")).model)
    assert (spec.input_size, spec.sigma) == (size, sigma)


RELEASES = {"backbone": "resnet18_pytorch", "input_size": (32, 32), "alpha": 0.25, "deconv_filters": (8, 8, 8)}


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (lambda: build_pose_model("mobilenetv2", input_size=(32, 32), alpha=0.35), "no counterpart"),
        (lambda: build_pose_model(**RELEASES, skip_connections=True), "has skip connections"),
        (lambda: with_visibility(build_pose_model(**RELEASES), "labelled"), "has a visibility head.*leaves it out"),
    ],
)
def test_only_the_releases_networks_have_its_layout(model, fault, tmp_path):
    model = model()
    with pytest.raises(UserError, match=fault):
        export_checkpoint(model, tmp_path / "a.pth.tar")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        *({"depth": depth, "style": style} for depth in (50, 101, 152) for style in ("pytorch", "caffe")),
        *({"kernels": (kernel,) * 3} for kernel in (2, 3)),
        *({"depth": depth} for depth in (18, 34)),
        {"filters": (256, 256), "kernels": (4, 4)},
        {"filters": (128, 96, 40), "kernels": (4, 3, 2), "style": "caffe", "keypoints": 16},
    ],
    ids=str,
)
def test_every_variant_is_pytorchs(options, tmp_path):
    architecture, state = pose_state(**options)
    torch.save({"epoch": 140, "state_dict": state}, tmp_path / "checkpoint.pth.tar")
    config = ConvertConfig(str(tmp_path / "checkpoint.pth.tar"), style=architecture.style, input_size=(128, 96))
    conversion = convert_checkpoint(config)
    comparison = verified(conversion, (128, 96))
    assert comparison.agrees and comparison.heatmap_maximum > 0.1, comparison
    export_checkpoint(conversion.model, tmp_path / "final_state.pth.tar")
    written = read_checkpoint(tmp_path / "final_state.pth.tar")
    assert all(np.array_equal(value, conversion.tensors[name]) for name, value in written.items())
