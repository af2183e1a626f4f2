"""The Simple Baselines network: a backbone, transposed convolutions, heatmaps (paper section 2)."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_simplepose.config import ModelConfig
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.codecs import CODECS
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.backbones.registry import STRIDE, Normalization, get_backbone
from keras_simplepose.models.backbones.resnet import BATCH_NORM_MOMENTUM, batch_norm
from keras_simplepose.models.distributions import distribution_rows
from keras_simplepose.models.layers import Heatmaps, PixelNormalization, dtype_policy
from keras_simplepose.models.pyramid import finer_features
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.names import look_up

HEAD_DEVIATION = 0.001  # Standard deviation of the head's initial weights (paper's release).
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
        h = H · 2^n / 32 for n transposed convolutions. `pose_spec(model)` gives its specification.

    Raises:
        UserError: an unknown backbone or codec, a size that is no multiple of 32, an unsupported kernel, or skip
            connections to a resolution at which the backbone has no features.

    Example:
        >>> from keras_simplepose import build_pose_model
        >>> small = {"input_size": (64, 64), "deconv_filters": (8,), "deconv_kernels": (4,)}
        >>> build_pose_model("mobilenetv2", alpha=0.35, **small).output_shape
        (None, 4, 4, 17)
    """
    entry = get_backbone(backbone)
    skeleton = load_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    _check_sizes(input_size, deconv_filters, deconv_kernels)
    if alpha != 1.0 and not entry.has_alpha:
        raise UserError(f"alpha is {alpha}, but backbone {backbone} has no width multiplier")
    if backbone_weights == "imagenet" and not entry.has_imagenet_weights:
        raise UserError(f"keras.applications has no ImageNet weights for {backbone}; give a file of weights, or none")
    normalization = normalization or entry.normalization
    with dtype_policy(precision):
        inputs = keras.Input((*input_size, 3), name="crops")
        x = PixelNormalization(normalization.mean, normalization.std, normalization.channel_order, name="pixels")(
            inputs
        )
        x = entry.build(x, backbone_weights, alpha)
        finer = [None] * len(deconv_filters)
        if skip_connections:
            finer = finer_features(inputs, x, len(deconv_filters), "skip_connections")
        for index, (filters, kernel) in enumerate(zip(deconv_filters, deconv_kernels, strict=True)):
            x = _deconv_block(x, filters, kernel, index, finer[index])
        x = layers.Conv2D(
            len(skeleton.keypoints), 1, kernel_initializer=_head_initializer(), dtype="float32", name="final_layer"
        )(x)
        if look_up("codec", codec, CODECS).distributions:
            x = distribution_rows(x, (input_size[0], input_size[1]), sigma)
        spec = PoseSpec(skeleton, (input_size[0], input_size[1]), (x.shape[1], x.shape[2]), sigma, codec)
        outputs = Heatmaps(spec, name="heatmaps")(x)
    model = keras.Model(inputs, outputs, name=f"pose_{backbone}")
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM  # keras.applications has 0.99 or 0.999: too slow for short runs.
    return model


def _deconv_block(x: Tensor, filters: int, kernel: int, index: int, finer: Tensor | None) -> Tensor:
    """Transposed convolution of stride 2, batch normalisation, ReLU; named and aligned as in the release.

    Finer features, if given, are projected, normalised and added before the ReLU.
    """
    name = f"deconv_layers.{3 * index}"
    # PyTorch's kernel 3 (padding 1, output padding 1) starts one pixel later than Keras's "same".
    x = layers.Conv2DTranspose(
        filters,
        kernel,
        2,
        padding="valid" if kernel == 3 else "same",
        use_bias=False,
        kernel_initializer=_head_initializer(),
        name=name,
    )(x)
    if kernel == 3:
        x = layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}.crop")(x)
    x = batch_norm(x, f"deconv_layers.{3 * index + 1}")
    if finer is not None:
        lateral = layers.Conv2D(
            filters, 1, use_bias=False, kernel_initializer=_head_initializer(), name=f"skip_layers.{2 * index}"
        )(finer)
        x = layers.Add(name=f"skip_layers.{2 * index}.add")([x, batch_norm(lateral, f"skip_layers.{2 * index + 1}")])
    return layers.ReLU(name=f"deconv_layers.{3 * index + 2}")(x)


def _head_initializer() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=HEAD_DEVIATION)


def _check_sizes(input_size: Sequence[int], filters: Sequence[int], kernels: Sequence[int]) -> None:
    if len(input_size) != 2 or any(size <= 0 or size % STRIDE for size in input_size):
        text = ",".join(map(str, input_size))
        raise UserError(f"input_size {text} must be height,width, both multiples of {STRIDE}")
    if len(filters) != len(kernels):
        raise UserError(f"deconv_filters has {len(filters)} entries and deconv_kernels {len(kernels)}; give as many")
    if not 0 <= len(filters) <= 5 or any(count <= 0 for count in filters):
        raise UserError("deconv_filters must be 0 to 5 positive numbers")
    if any(kernel not in (2, 3, 4) for kernel in kernels):
        raise UserError(f"deconv_kernels {','.join(map(str, kernels))}: each must be 2, 3 or 4")
