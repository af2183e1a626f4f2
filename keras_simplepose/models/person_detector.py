"""The person detector: Simple Baselines with other outputs ("Objects as Points", Zhou et al. 2019)."""

import math
from collections.abc import Sequence
from dataclasses import replace

import keras
from keras import layers

from keras_simplepose.core.centers import CHANNELS, DetectorSpec
from keras_simplepose.models.features import check_input_size, deconvolved_features, finished_model, head_initializer
from keras_simplepose.models.layers import PersonCenters, dtype_policy
from keras_simplepose.utils.errors import UserError

FIRST_PROBABILITY = 0.1  # Of a centre, before any training: most cells are none [Lin et al. 2017, Zhou et al. 2019].
FIRST_SIDE = 0.2  # Of the input: a person's before any training, so that what is learnt is the difference.


def build_person_detector(
    backbone: str = "mobilenetv2_bottleneck",
    backbone_weights: str | None = None,
    *,
    input_size: tuple[int, int] = (288, 384),
    deconv_filters: Sequence[int] = (128, 64, 64),
    deconv_kernels: Sequence[int] = (4, 4, 4),
    alpha: float = 1.0,
    skip_connections: bool = True,
    precision: str = "float32",
) -> keras.Model:
    """Builds the person detector as a functional Keras model, of the same parts as `build_pose_model`.

    Args:
        backbone: a name in `models.backbones.BACKBONES`.
        backbone_weights: "imagenet", a file that Keras's `load_weights` reads, or None for random ones.
        input_size: (H, W) into which images are letterboxed, multiples of 32.
        deconv_filters: channels of each transposed convolution; each doubles the resolution.
        deconv_kernels: their kernel sizes, 2, 3 or 4.
        alpha: width multiplier, for MobileNets.
        skip_connections: as `build_pose_model`.
        precision: a Keras dtype policy; the maps are float32 under any.

    Returns:
        A model from images [B, H, W, 3], RGB of 0–255 (uint8 or float), to maps [B, h, w, 5] float32 as
        `core.centers` describes them. `detector_spec(model)` gives its specification.

    Raises:
        UserError: as `build_pose_model`.

    Example:
        >>> from keras_simplepose import build_person_detector
        >>> small = {"input_size": (64, 96), "deconv_filters": (8, 8, 8), "alpha": 0.35}
        >>> build_person_detector("mobilenetv2", **small).output_shape
        (None, 16, 24, 5)
    """
    check_input_size(input_size)
    with dtype_policy(precision):
        inputs = keras.Input((*input_size, 3), name="images")
        x = deconvolved_features(
            inputs, backbone, backbone_weights, deconv_filters, deconv_kernels, alpha, None, skip_connections
        )
        spec = DetectorSpec((input_size[0], input_size[1]), (x.shape[1], x.shape[2]))
        last = layers.Conv2D(CHANNELS, 1, kernel_initializer=head_initializer(), dtype="float32", name="final_layer")
        outputs = PersonCenters(spec, name="centers")(last(x))
    first_logit = math.log(FIRST_PROBABILITY / (1 - FIRST_PROBABILITY))
    first_side = math.log(max(1.0, FIRST_SIDE * max(spec.map_size)))
    last.bias.assign([first_logit, 0.0, 0.0, first_side, first_side])
    return finished_model(inputs, outputs, f"persons_{backbone}")


def detector_spec(model: keras.Model) -> DetectorSpec:
    """The specification a person detector carries.

    Raises:
        UserError: it carries none, so it is no detector of this package.
    """
    return _centers(model).spec


def set_threshold(model: keras.Model, threshold: float) -> None:
    """Makes a score the least of a person where the user states none; it is saved with the model.

    Raises:
        UserError: the model is no person detector, or the threshold is not within 0 and 1.
    """
    layer = _centers(model)
    layer.spec = replace(layer.spec, threshold=threshold)


def _centers(model: keras.Model) -> PersonCenters:
    for layer in model.layers:
        if isinstance(layer, PersonCenters):
            return layer
    raise UserError(f"model {model.name!r} is not a person detector of keras_simplepose: it has no PersonCenters layer")
