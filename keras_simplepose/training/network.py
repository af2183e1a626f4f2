"""The network of a run: new, or an earlier one to go on from."""

import dataclasses
import fnmatch
from collections.abc import Callable, Iterable
from pathlib import Path

import keras

from keras_simplepose.config import DetectorTrainingConfig, ModelConfig, TrainingConfig
from keras_simplepose.conversion.converter import load_backbone_weights
from keras_simplepose.conversion.named_models import load_model
from keras_simplepose.conversion.torch_files import is_checkpoint
from keras_simplepose.core.skeletons import load_skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.build import build_from_config, check_options
from keras_simplepose.models.fetching import weights_file
from keras_simplepose.models.files import load_person_detector
from keras_simplepose.models.folded_weights import is_folded
from keras_simplepose.models.heads import with_skeleton
from keras_simplepose.models.person_detector import build_person_detector
from keras_simplepose.models.presets import BACKBONE
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.models.visibility import visibility_head, with_visibility
from keras_simplepose.utils.errors import UserError, shown

NO_FILES = ("", "none", "imagenet")
EXCEPTED = "-"  # In front of one of `frozen_layers`.


def build_network(config: TrainingConfig) -> keras.Model:
    """The network to train: new, or the initial model's.

    Raises:
        UserError: as `build_from_config`; or an initial model that does not fit the other options.
    """
    network = _initial_network(config.model) if config.model.initial_model else _new_network(config)
    _freeze(network, config.model.frozen_layers)
    return network


def build_detector(config: DetectorTrainingConfig) -> keras.Model:
    """The person detector to train: new, or the initial model's.

    Raises:
        UserError: as `build_person_detector`; or the initial model is no person detector.
    """
    model = config.model

    def build(weights: str) -> keras.Model:
        return build_person_detector(
            model.backbone,
            None if weights in ("", "none") else weights,
            input_size=model.input_size,
            deconv_filters=model.deconv_filters,
            deconv_kernels=model.deconv_kernels,
            alpha=model.alpha,
            skip_connections=model.skip_connections,
            precision=config.run.precision,
        )

    if model.initial_model:
        network = load_person_detector(model.initial_model)
    else:
        network = _with_backbone_weights(build, model.backbone_weights)
    _freeze(network, model.frozen_layers)
    return network


def load_teacher(name: str, spec: PoseSpec) -> keras.Model | None:
    """The network whose heatmaps another learns; None for no name.

    Args:
        name: a file or a name of one.
        spec: of the network that learns.

    Raises:
        UserError: as `load_model`; or its heatmaps are of another kind.
    """
    if not name:
        return None
    teacher = with_visibility(load_model(name), "none")  # What it knows of places, as no head has scaled it.
    found = pose_spec(teacher)
    for kind, theirs, ours in (
        ("keypoints", found.skeleton.keypoints, spec.skeleton.keypoints),
        ("input size", found.input_size, spec.input_size),
        ("heatmap size", found.heatmap_size, spec.heatmap_size),
        ("sigma", found.sigma, spec.sigma),
        ("unit of heatmaps (codec)", found.strides, spec.strides),
        ("box padding", found.box_padding, spec.box_padding),
    ):
        if theirs != ours:
            raise UserError(f"teacher {name}: its {kind} must be the network's, {shown(ours)}, and is {shown(theirs)}")
    teacher.trainable = False
    return teacher


def _freeze(network: keras.Model, prefixes: Iterable[str]) -> None:
    """Freezes the layers that the prefixes name, less those that prefixes with a - in front name."""
    frozen: dict[str, keras.layers.Layer] = {}
    excepted: set[str] = set()
    for prefix in prefixes:
        layers = matching_layers(network, prefix.removeprefix(EXCEPTED), "frozen_layers")
        if prefix.startswith(EXCEPTED):
            excepted |= {layer.name for layer in layers}
        else:
            frozen |= {layer.name: layer for layer in layers}
    for name, layer in frozen.items():
        if name not in excepted:
            layer.trainable = False


def matching_layers(network: keras.Model, prefix: str, option: str) -> list[keras.layers.Layer]:
    """The layers whose names begin with a prefix, in which * stands for anything.

    Raises:
        UserError: there is none; the message names the option.
    """
    layers = [layer for layer in network.layers if fnmatch.fnmatchcase(layer.name, f"{prefix}*")]
    if not layers:
        raise UserError(f"{option}: no layer of {network.name} begins with {prefix!r}")
    return layers


def _initial_network(model: ModelConfig) -> keras.Model:
    network = load_model(model.initial_model)
    codec = pose_spec(network).codec
    if model.codec not in (ModelConfig.codec, codec):
        raise UserError(
            f"codec is {model.codec}, but {model.initial_model} has heatmaps of {codec}; leave the option out"
        )
    head = visibility_head(network)
    kind = head.kind if head and model.visibility_head == ModelConfig.visibility_head else model.visibility_head
    if model.new_skeleton:
        network = with_skeleton(with_visibility(network, "none"), load_skeleton(model.new_skeleton))
    elif head and head.kind == kind:
        return network
    return with_visibility(network, kind)


def _new_network(config: TrainingConfig) -> keras.Model:
    check_options(config.model)

    def build(weights: str) -> keras.Model:
        return build_from_config(dataclasses.replace(config.model, backbone_weights=weights), config.run.precision)

    network = with_visibility(
        _with_backbone_weights(build, config.model.backbone_weights), config.model.visibility_head
    )
    if config.model.initial_layers:
        print(_set_layers(network, config.model.initial_layers))
    return network


def _set_layers(network: keras.Model, name: str) -> str:
    """Sets the layers that a model has too; a line says how many.

    Raises:
        UserError: as `load_model`; or there is none.
    """
    theirs = {layer.name: layer.get_weights() for layer in load_model(name).layers if layer.weights}
    ours = [layer for layer in network.layers if layer.weights]
    fitting = [
        layer
        for layer in ours
        if [value.shape for value in theirs.get(layer.name, ())] == [tuple(weight.shape) for weight in layer.weights]
    ]
    if not fitting:
        raise UserError(f"initial_layers {name}: {network.name} has no layer of the same name and shape")
    for layer in fitting:
        layer.set_weights(theirs[layer.name])
    names = {layer.name for layer in fitting}
    new = [layer.name for layer in ours if layer.name not in names]
    rest = f"; new: {shown(', '.join(new))}" if new else ""
    return f"{name}: set {len(fitting)} of the {len(ours)} layers of {network.name} that have weights{rest}"


def _with_backbone_weights(build: Callable[[str], keras.Model], weights: str) -> keras.Model:
    """The network that `build` makes of weights that Keras reads; PyTorch's are set here, folded ones later."""
    if weights not in NO_FILES:
        weights = weights_file(weights, BACKBONE)
        if not Path(weights).is_file():
            raise UserError(f"backbone_weights {weights}: no such file; imagenet and none are the other choices")
    foreign = weights not in NO_FILES and is_checkpoint(weights)
    folded = is_folded(weights)  # Set later: it takes crops of the training data.
    network = build("none" if foreign or folded else weights)
    if foreign:
        print(load_backbone_weights(network, weights))
    return network
