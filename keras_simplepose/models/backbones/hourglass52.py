"""Hourglass-52, as mmpose's public checkpoints have it: one hourglass of plain residual blocks (CornerNet, ECCV 2018).

Another network than the Stacked Hourglass of `models.hourglass`: five halvings by strides, not four by pooling, more
channels further down, normalisation after the convolutions. Its features have the heatmaps' resolution, so that no
transposed convolution follows. Layer names are mmpose's tensor names, the contract by which weights are carried over.
"""

from keras import layers

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.models.backbones.resnet import basic_block, batch_norm, convolution
from keras_simplepose.utils.errors import UserError

CHANNELS = (256, 256, 384, 384, 384, 512)  # From the heatmaps' resolution downwards.
BLOCKS = (2, 2, 2, 2, 2, 4)
STEM_CHANNELS = 128
STRIDE = 4  # Of its features.
MULTIPLE = STRIDE * 2 ** (len(CHANNELS) - 1)


def hourglass52(x: Tensor) -> Tensor:
    """Its features.

    Args:
        x: [B, H, W, 3] normalised pixels, H and W multiples of 128.

    Returns:
        [B, H/4, W/4, 256].

    Raises:
        UserError: a size that is no multiple of 128.
    """
    if any(size % MULTIPLE for size in x.shape[1:3]):
        raise UserError(f"input_size {x.shape[1]},{x.shape[2]}: backbone hourglass52 takes multiples of {MULTIPLE}")
    x = _unit(x, STEM_CHANNELS, 7, 2, "stem.0")
    x = basic_block(x, CHANNELS[0], 2, "stem.1.0")
    return _unit(_hourglass(x, 0, "hourglass_modules.0"), CHANNELS[0], 3, 1, "out_convs.0")


def _unit(x: Tensor, filters: int, kernel: int, stride: int, name: str) -> Tensor:
    x = convolution(x, filters, kernel, stride, f"{name}.conv")
    return layers.ReLU(name=f"{name}.relu")(batch_norm(x, f"{name}.bn"))


def _blocks(x: Tensor, channels: list[int], name: str, stride: int = 1) -> Tensor:
    """Residual blocks in a row, the first of them with the stride."""
    for index, filters in enumerate(channels):
        x = basic_block(x, filters, 1 if index else stride, f"{name}.{index}")
    return x


def _hourglass(x: Tensor, level: int, name: str) -> Tensor:
    """Half the resolution and back, what lies below in between, and blocks beside it; the input's shape."""
    here, below, count = CHANNELS[level], CHANNELS[level + 1], BLOCKS[level]
    beside = _blocks(x, [here] * count, f"{name}.up1")
    low = _blocks(x, [below] * count, f"{name}.low1", stride=2)
    if level + 2 < len(CHANNELS):
        low = _hourglass(low, level + 1, f"{name}.low2")
    else:
        low = _blocks(low, [below] * BLOCKS[level + 1], f"{name}.low2")
    low = _blocks(low, [below] * (count - 1) + [here], f"{name}.low3")
    return layers.Add(name=f"{name}.add")([beside, layers.UpSampling2D(2, name=f"{name}.up2")(low)])
