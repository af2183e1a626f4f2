"""ResNet-50/101/152 as the official release has them, and the smaller 18 and 34 with plain blocks.

Explicit symmetric padding, as PyTorch pads, because "same" pads stride-2 convolutions on the other side. Layer names
are the release's tensor names (`layer1.0.conv1`): they are the contract by which weights are carried over.
"""

from typing import Literal

from keras import layers

from keras_simplepose.core.arrays import Tensor

BATCH_NORM_MOMENTUM = 0.9  # PyTorch's 0.1 (paper's release); Keras's default is 0.99.
BATCH_NORM_EPSILON = 1e-5  # PyTorch's default; Keras's is 1e-3.
STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECK_DEPTHS = (50, 101, 152)
EXPANSION = 4
Style = Literal["pytorch", "caffe"]


def batch_norm(x: Tensor, name: str) -> Tensor:
    """Batch normalisation with the release's constants."""
    return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=name)(x)


def convolution(x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
    """Without bias, padded as PyTorch pads."""
    if kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x)
    initializer = "he_normal"
    return layers.Conv2D(filters, kernel, stride, use_bias=False, kernel_initializer=initializer, name=name)(x)


def _bottleneck(x: Tensor, planes: int, stride: int, style: Style, name: str) -> Tensor:
    first_stride, middle_stride = (1, stride) if style == "pytorch" else (stride, 1)
    shortcut = x
    if stride > 1 or x.shape[-1] != planes * EXPANSION:
        shortcut = convolution(x, planes * EXPANSION, 1, stride, f"{name}.downsample.0")
        shortcut = batch_norm(shortcut, f"{name}.downsample.1")
    x = convolution(x, planes, 1, first_stride, f"{name}.conv1")
    x = layers.ReLU(name=f"{name}.relu1")(batch_norm(x, f"{name}.bn1"))
    x = convolution(x, planes, 3, middle_stride, f"{name}.conv2")
    x = layers.ReLU(name=f"{name}.relu2")(batch_norm(x, f"{name}.bn2"))
    x = convolution(x, planes * EXPANSION, 1, 1, f"{name}.conv3")
    x = layers.Add(name=f"{name}.add")([batch_norm(x, f"{name}.bn3"), shortcut])
    return layers.ReLU(name=f"{name}.relu3")(x)


def basic_block(x: Tensor, planes: int, stride: int, name: str) -> Tensor:
    """Two 3×3 convolutions around a shortcut, the first with the stride."""
    shortcut = x
    if stride > 1 or x.shape[-1] != planes:
        shortcut = convolution(x, planes, 1, stride, f"{name}.downsample.0")
        shortcut = batch_norm(shortcut, f"{name}.downsample.1")
    x = convolution(x, planes, 3, stride, f"{name}.conv1")
    x = layers.ReLU(name=f"{name}.relu1")(batch_norm(x, f"{name}.bn1"))
    x = convolution(x, planes, 3, 1, f"{name}.conv2")
    x = layers.Add(name=f"{name}.add")([batch_norm(x, f"{name}.bn2"), shortcut])
    return layers.ReLU(name=f"{name}.relu2")(x)


def resnet(x: Tensor, depth: int, style: Style, alpha: float = 1.0) -> Tensor:
    """ResNet features at stride 32.

    Args:
        x: [B, H, W, 3] normalised pixels.
        depth: 18, 34, 50, 101 or 152.
        style: "pytorch" strides in the bottleneck's 3×3 convolution, "caffe" in its first 1×1; 18 and 34 have none.
        alpha: factor on all channel counts.

    Returns:
        [B, H/32, W/32, 2048 · alpha], or 512 · alpha for 18 and 34.
    """
    width = round(64 * alpha)
    x = convolution(x, width, 7, 2, "conv1")
    x = layers.ReLU(name="relu")(batch_norm(x, "bn1"))
    # Padding with zeros is exact for the maximum because it follows a ReLU.
    x = layers.ZeroPadding2D(1, name="maxpool.pad")(x)
    x = layers.MaxPooling2D(3, 2, name="maxpool")(x)
    for stage, blocks in enumerate(STAGES[depth], start=1):
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            planes, name = width * 2 ** (stage - 1), f"layer{stage}.{block}"
            if depth in BOTTLENECK_DEPTHS:
                x = _bottleneck(x, planes, stride, style, name)
            else:
                x = basic_block(x, planes, stride, name)
    return x
