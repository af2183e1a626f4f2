"""The ends of a pose network: one set of heatmaps, or one for each stage, of which the last counts."""

from typing import Any

import keras

from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.layers import Heatmaps
from keras_simplepose.utils.errors import UserError


def pose_spec(model: keras.Model) -> PoseSpec:
    """The specification a pose network carries: its last stage's.

    Raises:
        UserError: it carries none, so it is no network of this package.

    Example:
        >>> from keras_simplepose import build_pose_model, pose_spec
        >>> small = {"input_size": (64, 64), "deconv_filters": (8,), "deconv_kernels": (4,)}
        >>> pose_spec(build_pose_model("mobilenetv2", alpha=0.35, **small)).heatmap_size
        (4, 4)
    """
    ends = [layer for layer in model.layers if isinstance(layer, Heatmaps)]
    if not ends:
        raise UserError(f"model {model.name!r} is not a pose network of keras_simplepose: it has no Heatmaps layer")
    outputs = getattr(model, "outputs", None) or [None]
    # Where there are several, a model's layers need not stand in the order of its outputs.
    return next((layer.spec for layer in ends if len(ends) > 1 and layer.output is outputs[-1]), ends[-1].spec)


def decoded_by(model: keras.Model, codec: str) -> keras.Model:
    """The network whose maps are read by another codec, of the same weights; itself if it is its own.

    Args:
        model: a pose network.
        codec: as `PoseSpec.decoded_by` takes it.

    Raises:
        UserError: the codec does not fit.
    """
    spec = pose_spec(model)
    if spec.decoded_by(codec) == spec:
        return model

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, Heatmaps):
            return layer
        return Heatmaps(layer.spec.decoded_by(codec), name=layer.name)

    return keras.models.clone_model(model, clone_function=clone)


def stages(output: Any) -> list[Any]:
    """The heatmaps [B, h, w, K] of each stage, in order, of what a network gives: one, or several in a list."""
    return list(output) if isinstance(output, list | tuple) else [output]


def last_stage(network: keras.Model) -> keras.Model:
    """The network that gives the last stage's heatmaps only, of the same weights; itself if there is one stage."""
    outputs = getattr(network, "outputs", None) or []
    if len(outputs) < 2:
        return network
    return keras.Model(network.input, outputs[-1], name=network.name)


def check_stages(network: keras.Model) -> None:
    """Checks that all stages give heatmaps of one shape, so that the same targets serve for all.

    Raises:
        UserError: naming the stage that does not.
    """
    outputs = getattr(network, "outputs", None) or []
    for number, output in enumerate(outputs):
        if output.shape != outputs[-1].shape:
            raise UserError(
                f"stage {number} of {network.name} gives heatmaps of shape {output.shape[1:]}, "
                f"its last stage of {outputs[-1].shape[1:]}; they must be the same"
            )
