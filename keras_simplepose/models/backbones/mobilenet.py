"""MobileNetV2 as PyTorch has it, for weights that were trained there.

The one of keras.applications pads stride-2 convolutions after the image instead of around it, has another epsilon in
its batch normalisation and takes pixels of −1 to 1: torchvision's weights are not the same function in it. Layer
names are torchvision's tensor names (`features.1.conv.0.0`).
"""

from keras import layers

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.models.backbones.resnet import batch_norm

# (expansion, channels, blocks, stride of the first): table 2 of Sandler et al., CVPR 2018.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32
LAST_CHANNELS = 1280
_DIVISOR = 8  # Channel counts are multiples of this (the authors' release).


def scaled_channels(channels: int, alpha: float) -> int:
    """Channels under a width multiplier: the nearest multiple of 8, but at least nine tenths of the exact number."""
    exact = channels * alpha
    rounded = max(_DIVISOR, int(exact + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * exact else rounded


def _convolution(x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
    if stride > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(
        filters, kernel, stride, padding=padding, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _depthwise(x: Tensor, stride: int, name: str) -> Tensor:
    if stride > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}.pad")(x)
    padding = "valid" if stride > 1 else "same"
    return layers.DepthwiseConv2D(
        3, stride, padding=padding, use_bias=False, depthwise_initializer="he_normal", name=name
    )(x)


def _activated(x: Tensor, prefix: str) -> Tensor:
    """Batch normalisation and ReLU6, named as the second and third entries of torchvision's blocks."""
    return layers.ReLU(6.0, name=f"{prefix}.2")(batch_norm(x, f"{prefix}.1"))


def _block(x: Tensor, expansion: int, filters: int, stride: int, name: str) -> Tensor:
    """Inverted residual: expand, depthwise, project; the input is added where the shapes allow."""
    shortcut, entry = x, 0
    if expansion > 1:
        x = _activated(_convolution(x, shortcut.shape[-1] * expansion, 1, 1, f"{name}.conv.0.0"), f"{name}.conv.0")
        entry = 1
    x = _activated(_depthwise(x, stride, f"{name}.conv.{entry}.0"), f"{name}.conv.{entry}")
    x = _convolution(x, filters, 1, 1, f"{name}.conv.{entry + 1}")
    x = batch_norm(x, f"{name}.conv.{entry + 2}")
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}.add")([x, shortcut])
    return x


def mobilenet_v2(x: Tensor, alpha: float) -> Tensor:
    """MobileNetV2 features at stride 32.

    Args:
        x: [B, H, W, 3] normalised pixels.
        alpha: width multiplier, > 0.

    Returns:
        [B, H/32, W/32, 1280]; more channels if alpha is above 1.
    """
    x = _activated(_convolution(x, scaled_channels(STEM_CHANNELS, alpha), 3, 2, "features.0.0"), "features.0")
    index = 1
    for expansion, channels, blocks, first_stride in BLOCKS:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = _block(x, expansion, scaled_channels(channels, alpha), stride, f"features.{index}")
            index += 1
    x = _convolution(x, scaled_channels(LAST_CHANNELS, max(alpha, 1.0)), 1, 1, f"features.{index}.0")
    return _activated(x, f"features.{index}")
