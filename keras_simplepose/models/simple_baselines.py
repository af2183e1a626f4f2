"""The Simple Baselines network: a backbone, transposed convolutions, heatmaps (paper section 2)."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_simplepose.config import ModelConfig
from keras_simplepose.core.codecs import CODECS
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.backbones.registry import Normalization
from keras_simplepose.models.distributions import distribution_rows
from keras_simplepose.models.features import check_input_size, deconvolved_features, finished_model, head_initializer
from keras_simplepose.models.layers import Heatmaps, dtype_policy
from keras_simplepose.utils.names import look_up

# Of `ModelConfig`, what this family has of its own.
OPTIONS = ("backbone", "backbone_weights", "alpha", "deconv_filters", "deconv_kernels", "skip_connections")


def from_config(config: ModelConfig, precision: str = "float32") -> keras.Model:
    """The network that a configuration describes; see `build_pose_model`."""
    return build_pose_model(
        config.backbone,
        config.backbone_weights if config.backbone_weights not in ("", "none") else None,
        input_size=config.input_size,
        skeleton=config.skeleton,
        deconv_filters=config.deconv_filters,
        deconv_kernels=config.deconv_kernels,
        sigma=config.sigma,
        codec=config.codec,
        alpha=config.alpha,
        precision=precision,
        skip_connections=config.skip_connections,
    )


def build_pose_model(
    backbone: str = "resnet50",
    backbone_weights: str | None = None,
    *,
    input_size: tuple[int, int] = (256, 192),
    skeleton: Skeleton | str = "coco17",
    deconv_filters: Sequence[int] = (256, 256, 256),
    deconv_kernels: Sequence[int] = (4, 4, 4),
    sigma: float = 2.0,
    alpha: float = 1.0,
    normalization: Normalization | None = None,
    precision: str = "float32",
    codec: str = "quarter_offset",
    skip_connections: bool = False,
) -> keras.Model:
    """Builds the pose network as a functional Keras model.

    Args:
        backbone: a name in `models.backbones.BACKBONES`.
        backbone_weights: "imagenet", a file that Keras's `load_weights` reads, or None for random ones.
        input_size: (H, W) of the crops, multiples of 32.
        skeleton: a `Skeleton`, the name of one, or a file.
        deconv_filters: channels of each transposed convolution; each doubles the resolution.
        deconv_kernels: their kernel sizes, 2, 3 or 4.
        sigma: of the targets it is to be trained with, in heatmap pixels.
        alpha: width multiplier, for MobileNets.
        normalization: of the pixels; None means the backbone's own.
        precision: a Keras dtype policy; the heatmaps are float32 under any.
        codec: a name in `core.codecs.CODECS`, by which the heatmaps are to be read.
        skip_connections: whether each transposed convolution's output is joined by the backbone's features of that
            resolution, as in U-Net.

    Returns:
        A model from crops [B, H, W, 3], RGB of 0–255 (uint8 or float), to heatmaps [B, h, w, K] float32 with
        h = H · 2^n / 32 for n transposed convolutions; after hourglass52, which needs none, H · 2^n / 4.
        `pose_spec(model)` gives its specification.

    Raises:
        UserError: an unknown backbone or codec, a size that is no multiple of 32, an unsupported kernel, or skip
            connections to a resolution at which the backbone has no features.

    Example:
        >>> from keras_simplepose import build_pose_model
        >>> small = {"input_size": (64, 64), "deconv_filters": (8,), "deconv_kernels": (4,)}
        >>> build_pose_model("mobilenetv2", alpha=0.35, **small).output_shape
        (None, 4, 4, 17)
    """
    skeleton = load_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    check_input_size(input_size)
    with dtype_policy(precision):
        inputs = keras.Input((*input_size, 3), name="crops")
        x = deconvolved_features(
            inputs, backbone, backbone_weights, deconv_filters, deconv_kernels, alpha, normalization, skip_connections
        )
        x = layers.Conv2D(
            len(skeleton.keypoints), 1, kernel_initializer=head_initializer(), dtype="float32", name="final_layer"
        )(x)
        if look_up("codec", codec, CODECS).distributions:
            x = distribution_rows(x, (input_size[0], input_size[1]), sigma)
        spec = PoseSpec(skeleton, (input_size[0], input_size[1]), (x.shape[1], x.shape[2]), sigma, codec)
        outputs = Heatmaps(spec, name="heatmaps")(x)
    return finished_model(inputs, outputs, f"pose_{backbone}")
