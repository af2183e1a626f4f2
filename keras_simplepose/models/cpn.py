"""Cascaded Pyramid Network (Chen et al., CVPR 2018): a feature pyramid finds keypoints, its refinement the hard ones.

GlobalNet gives heatmaps at each of four resolutions, RefineNet from all of them together: five stages, of which the
last counts and, with the loss ohkm, mines hard keypoints. All learn the same targets here; the authors' coarser ones
were drawn wider. The batch statistics after the heatmaps of their code are left out.
"""

import keras
from keras import layers

from keras_simplepose.config import ModelConfig
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.backbones.registry import STRIDE, Normalization, get_backbone
from keras_simplepose.models.backbones.resnet import BATCH_NORM_MOMENTUM, batch_norm
from keras_simplepose.models.features import head_initializer
from keras_simplepose.models.layers import Heatmaps, PixelNormalization, dtype_policy
from keras_simplepose.models.pyramid import finer_features
from keras_simplepose.utils.errors import UserError

FEATURES = 256  # Of the pyramid.
LEVELS = 4  # Of resolutions, from the backbone's stride of 32 to the heatmaps' of 4.
OPTIONS = ("backbone", "backbone_weights", "alpha")


def from_config(config: ModelConfig, precision: str = "float32") -> keras.Model:
    """The network that a configuration describes; see `build_cpn`."""
    return build_cpn(
        config.backbone,
        config.backbone_weights if config.backbone_weights not in ("", "none") else None,
        input_size=config.input_size,
        skeleton=config.skeleton,
        sigma=config.sigma,
        codec=config.codec,
        alpha=config.alpha,
        precision=precision,
    )


def build_cpn(
    backbone: str = "resnet50",
    backbone_weights: str | None = None,
    *,
    input_size: tuple[int, ...] = (256, 192),
    skeleton: Skeleton | str = "coco17",
    sigma: float = 2.0,
    codec: str = "quarter_offset",
    alpha: float = 1.0,
    normalization: Normalization | None = None,
    features: int = FEATURES,
    precision: str = "float32",
) -> keras.Model:
    """Builds the network as a functional Keras model.

    Args:
        backbone: a name in `models.backbones.BACKBONES`; the paper's are ResNets.
        backbone_weights: as in `build_pose_model`.
        input_size: (H, W) of the crops, multiples of 32.
        skeleton: a `Skeleton`, the name of one, or a file.
        sigma: of the targets it is to be trained with, in heatmap pixels.
        codec: how heatmaps are drawn and read, a name in `core.codecs.CODECS`.
        alpha: width multiplier, for MobileNets and our ResNets.
        normalization: of the pixels; None means the backbone's own.
        features: channels of the pyramid, an even number.
        precision: a Keras dtype policy; the heatmaps are float32 under any.

    Returns:
        A model from crops [B, H, W, 3], RGB of 0–255 (uint8 or float), to a list of five heatmaps [B, H/4, W/4, K]
        float32: GlobalNet's, coarsest first, and RefineNet's.

    Raises:
        UserError: a size that is no multiple of 32, or a backbone without features at one of the resolutions.
    """
    if len(input_size) != 2 or any(size <= 0 or size % STRIDE for size in input_size):
        raise UserError(f"input_size {','.join(map(str, input_size))} must be height,width, both multiples of {STRIDE}")
    skeleton = load_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    entry, keypoints, (height, width) = get_backbone(backbone), len(skeleton.keypoints), input_size
    normalization = normalization or entry.normalization
    with dtype_policy(precision):
        inputs = keras.Input((height, width, 3), name="crops")
        pixels = PixelNormalization(normalization.mean, normalization.std, normalization.channel_order, name="pixels")
        coarsest = entry.build(pixels(inputs), backbone_weights, alpha)
        levels = [coarsest, *finer_features(inputs, coarsest, LEVELS - 1, f"architecture cpn, {backbone}")]
        pyramid = _pyramid(levels, features)
        maps = [_global_heatmaps(level, keypoints, number) for number, level in enumerate(pyramid)]
        maps.append(_refined_heatmaps(pyramid, keypoints))
        spec = PoseSpec(skeleton, (height, width), (maps[-1].shape[1], maps[-1].shape[2]), sigma, codec)
        names = [*(f"heatmaps.{number}" for number in range(LEVELS)), "heatmaps"]
        outputs = [Heatmaps(spec, name=name)(each) for name, each in zip(names, maps, strict=True)]
    model = keras.Model(inputs, outputs, name=f"pose_cpn_{backbone}")
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    return model


def _convolution(x: Tensor, filters: int, kernel: int, name: str, activated: bool = True) -> Tensor:
    """With batch normalisation, and ReLU unless told otherwise."""
    x = layers.Conv2D(
        filters, kernel, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}.conv"
    )(x)
    x = batch_norm(x, f"{name}.bn")
    return layers.ReLU(name=f"{name}.relu")(x) if activated else x


def _upsampled(x: Tensor, factor: int, name: str) -> Tensor:
    return layers.UpSampling2D(factor, interpolation="bilinear", name=f"{name}.upsample")(x) if factor > 1 else x


def _pyramid(levels: list[Tensor], features: int) -> list[Tensor]:
    """Each level's features with those of the coarser one, upsampled, added; coarsest first."""
    pyramid: list[Tensor] = []
    for number, level in enumerate(levels):
        x = _convolution(level, features, 1, f"lateral.{number}")
        if pyramid:
            coarser = _upsampled(pyramid[-1], 2, f"merge.{number}")
            coarser = _convolution(coarser, features, 1, f"merge.{number}", activated=False)
            x = layers.Add(name=f"merge.{number}.add")([x, coarser])
        pyramid.append(x)
    return pyramid


def _global_heatmaps(x: Tensor, keypoints: int, number: int) -> Tensor:
    x = _convolution(x, x.shape[-1], 1, f"global.{number}")
    x = _maps(x, keypoints, f"global.{number}.final")
    return _upsampled(x, 2 ** (LEVELS - 1 - number), f"global.{number}")


def _refined_heatmaps(pyramid: list[Tensor], keypoints: int) -> Tensor:
    """The coarser a level, the more bottlenecks before it is upsampled and joined."""
    joined = []
    for number, x in enumerate(pyramid):
        coarseness = LEVELS - 1 - number
        for block in range(coarseness):
            x = _bottleneck(x, x.shape[-1], f"refine.{number}.{block}")
        joined.append(_upsampled(x, 2**coarseness, f"refine.{number}"))
    x = layers.Concatenate(name="refine.join")(joined)
    x = _bottleneck(x, pyramid[0].shape[-1], "refine.last")
    return _maps(x, keypoints, "refine.final")


def _maps(x: Tensor, keypoints: int, name: str) -> Tensor:
    """Begun as the paper's head: maps of order 1 would cost the first hundreds of steps."""
    return layers.Conv2D(
        keypoints, 3, padding="same", dtype="float32", kernel_initializer=head_initializer(), name=name
    )(x)


def _bottleneck(x: Tensor, filters: int, name: str) -> Tensor:
    """1×1 to half the channels, 3×3, 1×1 to all of them, around a shortcut."""
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = _convolution(x, filters, 1, f"{name}.shortcut", activated=False)
    x = _convolution(x, filters // 2, 1, f"{name}.1")
    x = _convolution(x, filters // 2, 3, f"{name}.2")
    x = _convolution(x, filters, 1, f"{name}.3", activated=False)
    return layers.ReLU(name=f"{name}.relu")(layers.Add(name=f"{name}.add")([x, shortcut]))
