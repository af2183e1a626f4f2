"""The visibility head: a probability for each keypoint, by which its map is multiplied at the end of a network.

A heatmap's maximum says where a keypoint would be if there were one; the probability that there is one (mmpose's
VisPredictHead and the keypoint objectness of YOLO-pose are such) belongs into its score. Being inside the model, it
reaches every score, in every command and exported file.
"""

from typing import Any

import keras
from keras import ops

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.data.persons import VISIBLE
from keras_simplepose.models.layers import PACKAGE, Heatmaps
from keras_simplepose.models.stages import pose_spec

KINDS = ("labelled", "visible")
HIDDEN_UNITS = 64
NAME = "visibility"  # The names of the head's layers begin so.
EPSILON = 1e-6  # Of a map's sum, so that an empty one has no evidence rather than any.


@keras.saving.register_keras_serializable(PACKAGE)
class VisibilityLogits(keras.layers.Layer):
    """Logits of the keypoints' visibility out of a network's maps and the features they were made of.

    Of each keypoint it sees the features where its own map is positive, weighted by that map, and their mean over the
    crop; the maxima of all maps, its own apart. A hidden layer is shared by all, but for its bias. Gradients stop at
    the inputs: the head learns from the network, and the network does not hear of it. Always float32.
    """

    def __init__(self, hidden_units: int = HIDDEN_UNITS, **kwargs: Any):
        """Sets the size.

        Args:
            hidden_units: of the hidden layer.
            **kwargs: of `keras.layers.Layer`; the dtype is always float32.
        """
        super().__init__(**(kwargs | {"dtype": "float32"}))
        self.hidden_units = hidden_units

    def build(self, input_shape: Any) -> None:
        """Makes the weights for [maps [B, h, w, K]] or [maps, features [B, h', w', C]]."""
        maps, *rest = input_shape
        keypoints, units = maps[-1], self.hidden_units
        channels = sum(features[-1] for features in rest)
        self._is_local = all(tuple(features[1:3]) == tuple(maps[1:3]) for features in rest)
        own, shared = 1 + (channels if self._is_local else 0), keypoints + channels
        random = keras.initializers.RandomNormal(stddev=(2 / (own + shared)) ** 0.5)  # He et al.'s.
        self.own_kernel = self.add_weight((own, units), initializer=random, name="own_kernel")
        self.shared_kernel = self.add_weight((shared, units), initializer=random, name="shared_kernel")
        self.hidden_bias = self.add_weight((keypoints, units), initializer="zeros", name="hidden_bias")
        # Zeros: every probability begins as one half.
        self.output_kernel = self.add_weight((keypoints, units), initializer="zeros", name="output_kernel")
        self.output_bias = self.add_weight((keypoints,), initializer="zeros", name="output_bias")
        self.built = True

    def call(self, inputs: Any) -> Tensor:
        """[B, K] of [maps [B, h, w, K]] or [maps, features [B, h', w', C]]."""
        maps, *rest = inputs
        maps = ops.stop_gradient(ops.cast(maps, "float32"))
        maxima = ops.max(maps, axis=(1, 2))
        own, shared = [maxima[..., None]], [maxima]
        for features in rest:
            features = ops.stop_gradient(ops.cast(features, "float32"))
            shared.append(ops.mean(features, axis=(1, 2)))
            if self._is_local:
                own.append(_seen_by_maps(maps, features))
        hidden = ops.matmul(ops.concatenate(own, axis=-1), self.own_kernel) + self.hidden_bias
        hidden = hidden + ops.matmul(ops.concatenate(shared, axis=-1), self.shared_kernel)[:, None]
        return ops.sum(ops.relu(hidden) * self.output_kernel, axis=-1) + self.output_bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        """[B, K]."""
        return (input_shape[0][0], input_shape[0][-1])

    def get_config(self) -> dict[str, Any]:
        """The size."""
        return super().get_config() | {"hidden_units": self.hidden_units}


def _seen_by_maps(maps: Tensor, features: Tensor) -> Tensor:
    """[B, K, C]: the mean of features [B, h, w, C] under the positive part of each map of [B, h, w, K]."""
    _, height, width, keypoints = maps.shape
    weights = ops.reshape(ops.relu(maps), (-1, height * width, keypoints))
    weights = weights / (ops.sum(weights, axis=1, keepdims=True) + EPSILON)
    places = ops.reshape(features, (-1, height * width, features.shape[-1]))
    return ops.matmul(ops.transpose(weights, (0, 2, 1)), places)


@keras.saving.register_keras_serializable(PACKAGE)
class VisibilityScaling(keras.layers.Layer):
    """Multiplies maps by their keypoints' probabilities, sigmoid(logit / temperature). Always float32.

    Attributes:
        kind: what the probability is of: "labelled", or "visible" and not occluded.
        temperature: a scalar weight that no training moves; calibration sets it.
    """

    def __init__(self, kind: str = KINDS[0], **kwargs: Any):
        """Sets the meaning.

        Args:
            kind: one of `KINDS`.
            **kwargs: of `keras.layers.Layer`; the dtype is always float32.
        """
        super().__init__(**(kwargs | {"dtype": "float32"}))
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        self.kind = kind

    @property
    def needs_occlusion(self) -> bool:
        """Whether it learns from flags that tell occluded keypoints from visible ones."""
        return self.kind == "visible"

    def build(self, input_shape: Any) -> None:
        """Makes the temperature."""
        self.temperature = self.add_weight(shape=(), initializer="ones", trainable=False, name="temperature")
        self.built = True

    def call(self, inputs: Any) -> Tensor:
        """[B, h, w, K] of [maps [B, h, w, K], logits [B, K]]."""
        maps, logits = inputs
        return ops.cast(maps, "float32") * ops.sigmoid(logits / self.temperature)[:, None, None, :]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the maps."""
        return input_shape[0]

    def loss(self, logits: Tensor, flags: Tensor) -> Tensor:
        """[B]: the mean cross-entropy of the keypoints of each example, in nats.

        Args:
            logits: [B, K] of `VisibilityLogits`.
            flags: [B, K] float32 as `Person.visible`, 0 outside the crop.
        """
        logits, targets = logits / self.temperature, self.targets(flags)
        return ops.mean(ops.softplus(logits) - targets * logits, axis=1)

    def targets(self, flags: Tensor) -> Tensor:
        """[B, K] float32: 1 where a flag is what the head learns, else 0."""
        return ops.cast(flags >= VISIBLE if self.needs_occlusion else flags > 0, "float32")

    def get_config(self) -> dict[str, Any]:
        """The meaning; the temperature is among the weights."""
        return super().get_config() | {"kind": self.kind}


def visibility_head(network: keras.Model) -> VisibilityScaling | None:
    """The end of a network's visibility head; None if it has none."""
    return next((layer for layer in network.layers if isinstance(layer, VisibilityScaling)), None)


def head_features(network: keras.Model) -> Tensor | None:
    """The features that a network's visibility head hears beside the maps; None if there are none."""
    heads = [layer for layer in network.layers if isinstance(layer, VisibilityLogits)]
    inputs = keras.tree.flatten(heads[0].input) if heads else []
    return inputs[1] if len(inputs) > 1 else None


def with_visibility(network: keras.Model, kind: str) -> keras.Model:
    """A network whose last stage's maps are multiplied by the probability of a new head.

    Args:
        network: any that ends in `Heatmaps`; its layers are shared. A head that it has is left out.
        kind: one of `KINDS`, or "none": the network without a head.
    """
    if kind == "none" and visibility_head(network) is None:
        return network
    *others, last = _unscaled(network)
    if kind != "none":
        logits = VisibilityLogits(name=f"{NAME}_logits")([last, *_features(network, last)])
        last = VisibilityScaling(kind, name=f"{NAME}_scaling")([last, logits])
    last = Heatmaps(pose_spec(network), name=_end(network).name)(last)
    return keras.Model(network.input, [*others, last] if others else last, name=network.name)


def learning_network(network: keras.Model) -> keras.Model:
    """What a network with a visibility head learns by: every stage's maps as no head has scaled them, and the logits.

    Of the same layers, so that training it trains the network.
    """
    head = visibility_head(network)
    assert head is not None
    return keras.Model(network.input, [*_unscaled(network), head.input[1]], name=network.name)


def _unscaled(network: keras.Model) -> list[Tensor]:
    """The maps of every stage; the last one's as they are before the head, and before `Heatmaps`."""
    head = visibility_head(network)
    return [*network.outputs[:-1], _end(network).input if head is None else head.input[0]]


def _end(network: keras.Model) -> Heatmaps:
    """The last stage's `Heatmaps`."""
    return next(
        layer for layer in network.layers if isinstance(layer, Heatmaps) and layer.output is network.outputs[-1]
    )


def _features(network: keras.Model, maps: Tensor) -> list[Tensor]:
    """What the layer that made maps was given, if that is one tensor [B, h', w', C]; else nothing."""
    makers = [layer for layer in network.layers if layer.output is maps]
    inputs = [value for layer in makers for value in keras.tree.flatten(layer.input)]
    return inputs if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0] is not maps else []
