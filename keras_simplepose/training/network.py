"""The network of a run: new, or an earlier one to go on from."""

import dataclasses
import fnmatch
from pathlib import Path

import keras

from keras_simplepose.config import ModelConfig, TrainingConfig
from keras_simplepose.conversion.converter import load_backbone_weights
from keras_simplepose.conversion.named_models import load_model
from keras_simplepose.conversion.torch_files import is_checkpoint
from keras_simplepose.core.skeletons import load_skeleton
from keras_simplepose.models.build import build_from_config, check_options
from keras_simplepose.models.fetching import weights_file
from keras_simplepose.models.folded_weights import is_folded
from keras_simplepose.models.heads import with_skeleton
from keras_simplepose.models.presets import BACKBONE
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.utils.errors import UserError

NO_FILES = ("", "none", "imagenet")


def build_network(config: TrainingConfig) -> keras.Model:
    """The network to train: new, or the initial model's.

    Raises:
        UserError: as `build_from_config`; or an initial model that does not fit the other options.
    """
    network = _initial_network(config.model) if config.model.initial_model else _new_network(config)
    for prefix in config.model.frozen_layers:
        for layer in matching_layers(network, prefix, "frozen_layers"):
            layer.trainable = False
    return network


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
    return with_skeleton(network, load_skeleton(model.new_skeleton)) if model.new_skeleton else network


def _new_network(config: TrainingConfig) -> keras.Model:
    model, weights = config.model, config.model.backbone_weights
    check_options(model)
    if weights not in NO_FILES:
        weights = weights_file(weights, BACKBONE)
        if not Path(weights).is_file():
            raise UserError(f"backbone_weights {weights}: no such file; imagenet and none are the other choices")
    foreign = weights not in NO_FILES and is_checkpoint(weights)
    folded = is_folded(weights)  # Set later: it takes crops of the training data.
    network = build_from_config(
        dataclasses.replace(model, backbone_weights="none" if foreign or folded else weights), config.run.precision
    )
    if foreign:
        print(load_backbone_weights(network, weights))
    return network
