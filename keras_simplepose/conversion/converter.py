"""PyTorch checkpoints ↔ Keras pose networks."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from keras_simplepose.config import ConvertConfig, ModelConfig
from keras_simplepose.conversion.architecture import (
    Architecture,
    check_head,
    detect_source,
    drop_classifier,
    infer_architecture,
)
from keras_simplepose.conversion.provenance import Provenance, codec_of, skeleton_of
from keras_simplepose.conversion.tensor_names import HEAD_PREFIXES, listed, model_tensors, release_names, set_tensors
from keras_simplepose.conversion.torch_files import Checkpoint, open_checkpoint, read_checkpoint, write_checkpoint
from keras_simplepose.conversion.torch_files import is_checkpoint as is_checkpoint  # For whoever loads backbones.
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.models.backbones.registry import IMAGENET_MEAN, IMAGENET_STD, STRIDE, Normalization
from keras_simplepose.models.backbones.resnet import BOTTLENECK_DEPTHS
from keras_simplepose.models.layers import PixelNormalization
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.models.visibility import visibility_head
from keras_simplepose.utils.errors import UserError

# The release reads with OpenCV, so its weights saw BGR, normalised with the numbers meant for RGB, in that order.
NORMALIZATIONS = {
    "official": Normalization(IMAGENET_MEAN, IMAGENET_STD, "bgr"),
    "mmpose": Normalization(IMAGENET_MEAN, IMAGENET_STD, "rgb"),
    "torchvision": Normalization(IMAGENET_MEAN, IMAGENET_STD, "rgb"),
}
INPUT_SIZES = {"coco17": (256, 192), "mpii16": (256, 256)}  # The smaller of the two published for each.
GIVEN = "given"  # Where a setting comes from that the configuration has.
LARGE_INPUT = 384  # Height from which the releases train with sigma 3 instead of 2.
NEW_HEAD = {name: getattr(ModelConfig(), name) for name in ("deconv_filters", "deconv_kernels")}  # For a bare backbone.


@dataclass(frozen=True)
class Setting:
    """One line of the report: what, its value, and where the value came from."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint.

    Attributes:
        model: the pose network in Keras.
        tensors: the checkpoint's, under the official release's names; with a new head, the head's among them.
        architecture: of the network.
        normalization: of the pixels the weights saw.
        settings: what was found and what was assumed.
    """

    model: keras.Model
    tensors: dict[str, np.ndarray]
    architecture: Architecture
    normalization: Normalization
    settings: tuple[Setting, ...]


def convert_checkpoint(config: ConvertConfig) -> Conversion:
    """Makes a Keras pose network of a PyTorch checkpoint: every tensor used once, every variable set once.

    Args:
        config: the checkpoint, and what overrides its source's conventions.

    Raises:
        UserError: the checkpoint is damaged, of another architecture or incomplete, or something must be given that
            cannot be told from it.
    """
    where = config.checkpoint
    checkpoint = open_checkpoint(where, config.weights)
    raw = checkpoint.tensors
    written = Provenance(where, checkpoint.data_set, checkpoint.configuration)
    check_head(raw, where)
    source = detect_source(raw) if config.source == "auto" else config.source
    tensors, dropped = drop_classifier(release_names(raw, where))
    style, style_origin = _style(config)
    found = infer_architecture(tensors, style, where)
    if not found.keypoints and config.source != "torchvision":
        raise UserError(
            f"{where}: holds a backbone without a pose head; start a training from it with train "
            f"backbone {found.backbone} and backbone_weights {where}, or write a network with a new head with "
            "source torchvision"
        )
    if found.keypoints and source == "torchvision":
        raise UserError(f"{where}: has a pose head, so it is not torchvision's; leave source at auto")
    normalization = _normalization(config, source)
    skeleton, skeleton_origin = _skeleton(config, found.keypoints, written, source)
    architecture = found
    if not found.keypoints:
        architecture = replace(found, **NEW_HEAD, keypoints=len(skeleton.keypoints))
    input_size, size_origin = _input_size(config, skeleton)
    sigma = _sigma(config, input_size)
    codec, codec_origin = (config.codec, GIVEN) if config.codec else codec_of(written)
    model = build_pose_model(
        architecture.backbone,
        input_size=input_size,
        skeleton=skeleton,
        deconv_filters=architecture.deconv_filters,
        deconv_kernels=architecture.deconv_kernels,
        sigma=sigma,
        alpha=architecture.alpha,
        normalization=normalization,
        codec=codec,
    )
    set_tensors(model, tensors, where, wanted=lambda name: bool(found.keypoints) or not name.startswith(HEAD_PREFIXES))
    settings = (
        Setting("source", source, "tensors' names" if config.source == "auto" else GIVEN),
        *_weight_settings(checkpoint),
        Setting("backbone", architecture.backbone, "tensors"),
        Setting("alpha", f"{architecture.alpha:g}", "tensors"),
        *([Setting("style", style, style_origin)] if architecture.depth in BOTTLENECK_DEPTHS else []),
        *_head_settings(architecture, is_new=not found.keypoints),
        Setting("skeleton", f"{skeleton.name} ({len(skeleton.keypoints)} keypoints)", skeleton_origin),
        Setting("input size", _commas(input_size), size_origin),
        *_pixel_settings(config, source, normalization),
        Setting("sigma", f"{sigma:g}", _origin(config.sigma, "sigma", "convention for this input size")),
        Setting("codec", codec, f"{codec_origin}; codec overrides" if not config.codec else codec_origin),
        Setting("tensors", str(len(tensors)), "each used once"),
        *([Setting("not used", listed(dropped), "of a classifier, or between stacks")] if dropped else []),
    )
    return Conversion(model, model_tensors(model) | tensors, architecture, normalization, settings)


def _weight_settings(checkpoint: Checkpoint) -> tuple[Setting, ...]:
    """Which weights were taken, where a file holds several."""
    if not checkpoint.others:
        return ()
    origin = f"beside {', '.join(checkpoint.others)}; the option weights (auto, ema) chooses"
    return (Setting("weights", checkpoint.taken, origin),)


def _head_settings(architecture: Architecture, is_new: bool) -> tuple[Setting, Setting]:
    origin = "new, with random weights: train it before use" if is_new else "tensors"
    return (
        Setting("deconv kernels", _commas(architecture.deconv_kernels), origin),
        Setting("deconv filters", _commas(architecture.deconv_filters), origin),
    )


def _pixel_settings(config: ConvertConfig, source: str, normalization: Normalization) -> tuple[Setting, ...]:
    convention = f"convention of {source}"
    order_given = config.channel_order != "auto"
    return (
        Setting("channel order", normalization.channel_order, _origin(order_given, "channel_order", convention)),
        Setting("mean", _commas(normalization.mean), _origin(config.mean, "mean", convention)),
        Setting("std", _commas(normalization.std), _origin(config.std, "std", convention)),
    )


def _origin(given: object, option: str, otherwise: str) -> str:
    return GIVEN if given else f"{otherwise}; {option} overrides"


def _commas(values: tuple) -> str:
    return ",".join(f"{value:g}" for value in values) or "none"


def _style(config: ConvertConfig) -> tuple[str, str]:
    if config.style != "auto":
        return config.style, GIVEN
    if "caffe" in config.checkpoint.lower():
        raise UserError(
            f"{config.checkpoint}: the path speaks of caffe, and tensors do not show where a ResNet strides; "
            "say with style whether it is caffe or pytorch"
        )
    return "pytorch", "convention; tensors do not show it; style overrides"


def _skeleton(config: ConvertConfig, keypoints: int, written: Provenance, source: str) -> tuple[Skeleton, str]:
    """The skeleton, and where it came from."""
    if config.skeleton:
        skeleton = load_skeleton(config.skeleton)
        if keypoints and len(skeleton.keypoints) != keypoints:
            count = len(skeleton.keypoints)
            raise UserError(
                f"{config.checkpoint}: gives {keypoints} heatmaps, but skeleton {skeleton.name} has {count} keypoints"
            )
        return skeleton, GIVEN
    if not keypoints:
        return load_skeleton(ModelConfig().skeleton), "default; skeleton overrides"
    name, origin = skeleton_of(written, keypoints, config.checkpoint, source)
    return load_skeleton(name), f"{origin}; skeleton overrides"


def _input_size(config: ConvertConfig, skeleton: Skeleton) -> tuple[tuple[int, int], str]:
    """(H, W), and where it came from. Both releases write it into file names as 256x192."""
    if config.input_size:
        height, width = config.input_size
        return (height, width), GIVEN
    found = re.findall(r"(?<!\d)(\d{2,3})x(\d{2,3})(?!\d)", Path(config.checkpoint).name)
    sizes = {(int(height), int(width)) for height, width in found}
    sizes = {size for size in sizes if not any(side % STRIDE for side in size)}
    if len(sizes) == 1:
        return sizes.pop(), "file's name; input_size overrides"
    if skeleton.name not in INPUT_SIZES:
        raise UserError(f"{config.checkpoint}: neither its name nor its tensors tell the input size; give input_size")
    return INPUT_SIZES[skeleton.name], f"convention for {skeleton.name}; input_size overrides"


def _sigma(config: ConvertConfig, input_size: tuple[int, int]) -> float:
    return config.sigma or (3.0 if input_size[0] >= LARGE_INPUT else 2.0)


def _normalization(config: ConvertConfig, source: str) -> Normalization:
    convention = NORMALIZATIONS[source]
    order = convention.channel_order if config.channel_order == "auto" else config.channel_order
    return Normalization(config.mean or convention.mean, config.std or convention.std, order)


def load_backbone_weights(model: keras.Model, path: str | Path) -> str:
    """Sets the backbone of a pose network from a torchvision checkpoint, ResNet or MobileNetV2; the head stays.

    Afterwards the model's features are PyTorch's, up to float rounding, so the backbone must be one of this package's
    with PyTorch's padding and batch normalisation: `resnet50_pytorch`, `mobilenetv2_pytorch` and so on. Any ResNet
    that names its tensors as torchvision does is taken, in the style the model has.

    Args:
        model: a pose network of this package.
        path: of a checkpoint; its classifier is not used.

    Returns:
        a line that says what was done.

    Raises:
        UserError: the file is damaged, its tensors are not exactly the backbone's, or the model's backbone is one
            of keras.applications, which is another function.
    """
    tensors, dropped = drop_classifier(release_names(read_checkpoint(path), str(path)))
    fitting = infer_architecture(tensors, _model_style(model) or "pytorch", str(path))
    if fitting.keypoints:
        raise UserError(
            f"{path}: holds a pose network; make a model of it with convert and start from that as initial_model"
        )
    names = {layer.name for layer in model.layers}
    if not names & {"layer1.0.conv1", "features.0.0", "hourglass_modules.0.up1.0.conv1"}:
        raise UserError(
            f"{path}: PyTorch weights are another function in {model.name}, whose backbone pads and normalises "
            f"otherwise; use backbone {fitting.backbone}"
        )
    set_tensors(model, tensors, str(path), wanted=lambda name: not name.startswith(HEAD_PREFIXES))
    unused = f"; not used: {listed(dropped)}" if dropped else ""
    return f"{path}: {len(tensors)} tensors set in the backbone of {model.name}{unused}"


def _model_style(model: keras.Model) -> str | None:
    """Of a model with a ResNet of this package, else None."""
    strides = {
        layer.name: layer.strides for layer in model.layers if layer.name in ("layer2.0.conv1", "layer2.0.conv2")
    }
    if not strides:
        return None
    if not any(layer.name == "layer2.0.conv3" for layer in model.layers):
        return "pytorch"  # Of two convolutions the first always strides; only a bottleneck has styles.
    return "caffe" if tuple(strides["layer2.0.conv1"]) == (2, 2) else "pytorch"


def export_checkpoint(model: keras.Model, path: str | Path) -> tuple[Setting, ...]:
    """Writes a pose network as a checkpoint in the official layout: a bare state dictionary.

    Args:
        model: a pose network with a ResNet of this package (`resnet50_pytorch`, `resnet101_caffe`, …); one whose width
            multiplier is not 1 has the release's names, but the release's code cannot build it.
        path: ends in .pth.tar, .pth, .pt or .safetensors.

    Returns:
        what whoever runs the checkpoint must know, since tensors do not say it.

    Raises:
        UserError: the model has another backbone, a visibility head or skip connections, or the place cannot be
            written to.
    """
    style = _model_style(model)
    if style is None:
        raise UserError(
            f"{model.name} has no counterpart in the official release: only backbones such as resnet50_pytorch "
            "and resnet50_caffe have"
        )
    if visibility_head(model) is not None:
        raise UserError(
            f"{model.name} has a visibility head, which the official release has not; in Python "
            "keras_simplepose.models.visibility.with_visibility(model, 'none') leaves it out"
        )
    if any(layer.name.startswith("skip_layers.") for layer in model.layers):
        raise UserError(f"{model.name} has skip connections, which the official release's network has not")
    tensors = model_tensors(model)
    write_checkpoint(tensors, path)
    pixels = next(layer for layer in model.layers if isinstance(layer, PixelNormalization))
    official = NORMALIZATIONS["official"]
    as_official = Normalization(pixels.mean, pixels.std, pixels.channel_order) == official
    origin = "as the release feeds them" if as_official else "not as the release feeds them: change its loader"
    spec = pose_spec(model)
    return (
        Setting("style", style, "model"),
        Setting("skeleton", f"{spec.skeleton.name} ({len(spec.skeleton.keypoints)} keypoints)", "model"),
        Setting("input size", _commas(spec.input_size), "model"),
        Setting("channel order", pixels.channel_order, origin),
        Setting("mean", _commas(pixels.mean), origin),
        Setting("std", _commas(pixels.std), origin),
        Setting("tensors", str(len(tensors)), "model"),
    )


def report(settings: tuple[Setting, ...]) -> str:
    """The settings as aligned lines."""
    name_width = max(len(setting.name) for setting in settings)
    value_width = max(len(setting.value) for setting in settings)
    return "\n".join(f"{s.name:<{name_width}}  {s.value:<{value_width}}  ({s.origin})" for s in settings)
