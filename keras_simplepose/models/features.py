"""What pose networks and person detectors are made of: a backbone and transposed convolutions (paper section 2)."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.models.backbones.registry import STRIDE, Normalization, get_backbone
from keras_simplepose.models.backbones.resnet import BATCH_NORM_MOMENTUM, batch_norm
from keras_simplepose.models.layers import PixelNormalization
from keras_simplepose.models.pyramid import finer_features
from keras_simplepose.utils.errors import UserError

HEAD_DEVIATION = 0.001  # Standard deviation of the head's initial weights (paper's release).


def deconvolved_features(
    inputs: Tensor,
    backbone: str,
    backbone_weights: str | None,
    deconv_filters: Sequence[int],
    deconv_kernels: Sequence[int],
    alpha: float = 1.0,
    normalization: Normalization | None = None,
    skip_connections: bool = False,
) -> Tensor:
    """A backbone's features after the transposed convolutions, all that comes before a network's last convolution.

    Args:
        inputs: [B, H, W, 3] RGB of 0–255, of a `keras.Input`; H and W are multiples of 32.
        backbone: as `build_pose_model`, like the rest.
        backbone_weights: "imagenet", a file that Keras's `load_weights` reads, or None for random ones.
        deconv_filters: channels of each transposed convolution.
        deconv_kernels: their kernel sizes, 2, 3 or 4.
        alpha: width multiplier, for MobileNets.
        normalization: of the pixels; None means the backbone's own.
        skip_connections: whether the backbone's finer features are added.

    Returns:
        [B, h, w, C] with h = H · 2^n / 32 for n transposed convolutions (after hourglass52 H · 2^n / 4), C the last's
        channels.

    Raises:
        UserError: as `build_pose_model`.
    """
    entry = get_backbone(backbone)
    _check_deconvolutions(deconv_filters, deconv_kernels)
    if alpha != 1.0 and not entry.has_alpha:
        raise UserError(f"alpha is {alpha}, but backbone {backbone} has no width multiplier")
    if backbone_weights == "imagenet" and not entry.has_imagenet_weights:
        raise UserError(f"keras.applications has no ImageNet weights for {backbone}; give a file of weights, or none")
    normalization = normalization or entry.normalization
    x = PixelNormalization(normalization.mean, normalization.std, normalization.channel_order, name="pixels")(inputs)
    x = entry.build(x, backbone_weights, alpha)
    finer = [None] * len(deconv_filters)
    if skip_connections:
        finer = finer_features(inputs, x, len(deconv_filters), "skip_connections")
    for index, (filters, kernel) in enumerate(zip(deconv_filters, deconv_kernels, strict=True)):
        x = _deconv_block(x, filters, kernel, index, finer[index])
    if x.shape[1] > inputs.shape[1]:
        raise UserError(
            f"deconv_filters: {len(deconv_filters)} transposed convolutions after backbone {backbone} would make "
            f"heatmaps of {x.shape[1]}×{x.shape[2]}, more than the crop's; give fewer, or none"
        )
    return x


def finished_model(inputs: Tensor, outputs: Tensor, name: str) -> keras.Model:
    """The model, with the release's momentum in every batch normalisation."""
    model = keras.Model(inputs, outputs, name=name)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM  # keras.applications has 0.99 or 0.999: too slow for short runs.
    return model


def head_initializer() -> keras.initializers.Initializer:
    """Of the head's convolutions."""
    return keras.initializers.RandomNormal(stddev=HEAD_DEVIATION)


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
        kernel_initializer=head_initializer(),
        name=name,
    )(x)
    if kernel == 3:
        x = layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}.crop")(x)
    x = batch_norm(x, f"deconv_layers.{3 * index + 1}")
    if finer is not None:
        lateral = layers.Conv2D(
            filters, 1, use_bias=False, kernel_initializer=head_initializer(), name=f"skip_layers.{2 * index}"
        )(finer)
        x = layers.Add(name=f"skip_layers.{2 * index}.add")([x, batch_norm(lateral, f"skip_layers.{2 * index + 1}")])
    return layers.ReLU(name=f"deconv_layers.{3 * index + 2}")(x)


def check_input_size(input_size: Sequence[int]) -> None:
    """Checks that backbones take an input of that (H, W).

    Raises:
        UserError: they do not.
    """
    if len(input_size) != 2 or any(size <= 0 or size % STRIDE for size in input_size):
        text = ",".join(map(str, input_size))
        raise UserError(f"input_size {text} must be height,width, both multiples of {STRIDE}")


def _check_deconvolutions(filters: Sequence[int], kernels: Sequence[int]) -> None:
    if len(filters) != len(kernels):
        raise UserError(f"deconv_filters has {len(filters)} entries and deconv_kernels {len(kernels)}; give as many")
    if not 0 <= len(filters) <= 5 or any(count <= 0 for count in filters):
        raise UserError("deconv_filters must be 0 to 5 positive numbers")
    if any(kernel not in (2, 3, 4) for kernel in kernels):
        raise UserError(f"deconv_kernels {','.join(map(str, kernels))}: each must be 2, 3 or 4")
