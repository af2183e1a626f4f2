"""Stacked Hourglass networks (Newell, Yang and Deng, ECCV 2016): heatmaps after each stack, all of them trained.

Pre-activated residual blocks of 256 features, four halvings, one block at each resolution, nearest-neighbour
upsampling; each stack's features and heatmaps are added to the next one's input. Eight stacks are the paper's.
"""

import keras
from keras import layers

from keras_simplepose.config import ModelConfig
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.backbones.registry import Normalization
from keras_simplepose.models.backbones.resnet import batch_norm
from keras_simplepose.models.features import head_initializer
from keras_simplepose.models.layers import Heatmaps, PixelNormalization, dtype_policy
from keras_simplepose.utils.errors import UserError

FEATURES = 256
DEPTH = 4
STRIDE = 4  # Of the heatmaps.
MAXIMUM_STACKS = 8
OPTIONS = ("stacks",)


def from_config(config: ModelConfig, precision: str = "float32") -> keras.Model:
    """The network that a configuration describes; see `build_hourglass`."""
    return build_hourglass(
        config.stacks,
        input_size=config.input_size,
        skeleton=config.skeleton,
        sigma=config.sigma,
        codec=config.codec,
        precision=precision,
    )


def build_hourglass(
    stacks: int = MAXIMUM_STACKS,
    *,
    input_size: tuple[int, ...] = (256, 192),
    skeleton: Skeleton | str = "coco17",
    sigma: float = 2.0,
    codec: str = "quarter_offset",
    normalization: Normalization | None = None,
    features: int = FEATURES,
    precision: str = "float32",
) -> keras.Model:
    """Builds the network as a functional Keras model.

    Args:
        stacks: 1 to 8.
        input_size: (H, W) of the crops, multiples of 64.
        skeleton: a `Skeleton`, the name of one, or a file.
        sigma: of the targets it is to be trained with, in heatmap pixels.
        codec: how heatmaps are drawn and read, a name in `core.codecs.CODECS`.
        normalization: of the pixels; None means ImageNet's mean and deviation.
        features: channels of the stacks, an even number.
        precision: a Keras dtype policy; the heatmaps are float32 under any.

    Returns:
        A model from crops [B, H, W, 3], RGB of 0–255 (uint8 or float), to a list of the stacks' heatmaps
        [B, H/4, W/4, K] float32; to bare heatmaps if there is one stack.

    Raises:
        UserError: a number of stacks or features out of range, or a size that is no multiple of 64.
    """
    multiple = STRIDE * 2**DEPTH
    if not 1 <= stacks <= MAXIMUM_STACKS:
        raise UserError(f"stacks is {stacks}; it must be from 1 to {MAXIMUM_STACKS}")
    if features < 2 or features % 2:
        raise UserError(f"features is {features}; it must be an even number greater than 0")
    if len(input_size) != 2 or any(size <= 0 or size % multiple for size in input_size):
        text = ",".join(map(str, input_size))
        raise UserError(f"input_size {text} must be height,width, both multiples of {multiple} for an hourglass")
    skeleton = load_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    normalization, keypoints = normalization or Normalization(), len(skeleton.keypoints)
    height, width = input_size
    spec = PoseSpec(skeleton, (height, width), (height // STRIDE, width // STRIDE), sigma, codec)
    outputs = []
    with dtype_policy(precision):
        inputs = keras.Input((height, width, 3), name="crops")
        x = PixelNormalization(normalization.mean, normalization.std, normalization.channel_order, name="pixels")(
            inputs
        )
        x = _stem(x, features)
        for stack in range(stacks):
            name, last = f"stacks.{stack}", stack == stacks - 1
            y = _residual(_hourglass(x, DEPTH, f"{name}.hourglass"), features, f"{name}.residual")
            y = _activated(_convolution(y, features, 1, f"{name}.linear"), f"{name}.linear")
            # Begun as the paper's head: maps of order 1 would cost the first hundreds of steps.
            maps = layers.Conv2D(
                keypoints, 1, dtype="float32", kernel_initializer=head_initializer(), name=f"{name}.heatmaps"
            )(y)
            outputs.append(Heatmaps(spec, name="heatmaps" if last else f"heatmaps.{stack}")(maps))
            if not last:
                returned = _convolution(maps, features, 1, f"{name}.from_heatmaps")
                x = layers.Add(name=f"{name}.add")([x, _convolution(y, features, 1, f"{name}.from_features"), returned])
    return keras.Model(inputs, outputs if stacks > 1 else outputs[0], name=f"pose_hourglass{stacks}")


def _convolution(x: Tensor, filters: int, kernel: int, name: str, stride: int = 1) -> Tensor:
    if stride > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x)
    padding = "valid" if stride > 1 else "same"
    return layers.Conv2D(filters, kernel, stride, padding=padding, kernel_initializer="he_normal", name=name)(x)


def _activated(x: Tensor, name: str) -> Tensor:
    return layers.ReLU(name=f"{name}.relu")(batch_norm(x, f"{name}.bn"))


def _residual(x: Tensor, filters: int, name: str) -> Tensor:
    """Normalise, activate, convolve: 1×1 to half the channels, 3×3, 1×1 back."""
    shortcut = x if x.shape[-1] == filters else _convolution(x, filters, 1, f"{name}.shortcut")
    for number, (channels, kernel) in enumerate(((filters // 2, 1), (filters // 2, 3), (filters, 1)), start=1):
        x = _convolution(_activated(x, f"{name}.{number}"), channels, kernel, f"{name}.{number}.conv")
    return layers.Add(name=f"{name}.add")([x, shortcut])


def _stem(x: Tensor, features: int) -> Tensor:
    """[B, H/4, W/4, features] of pixels."""
    x = _activated(_convolution(x, 64, 7, "stem.conv", stride=2), "stem")
    x = layers.MaxPooling2D(2, name="stem.pool")(_residual(x, 128, "stem.residual1"))
    return _residual(_residual(x, 128, "stem.residual2"), features, "stem.residual3")


def _hourglass(x: Tensor, depth: int, name: str) -> Tensor:
    """Down to 2^−depth of the resolution and up again, with a block beside each level; the input's shape."""
    filters = x.shape[-1]
    beside = _residual(x, filters, f"{name}.beside{depth}")
    low = layers.MaxPooling2D(2, name=f"{name}.pool{depth}")(x)
    low = _residual(low, filters, f"{name}.down{depth}")
    low = _hourglass(low, depth - 1, name) if depth > 1 else _residual(low, filters, f"{name}.bottom")
    low = _residual(low, filters, f"{name}.up{depth}")
    low = layers.UpSampling2D(2, name=f"{name}.upsample{depth}")(low)
    return layers.Add(name=f"{name}.add{depth}")([beside, low])
