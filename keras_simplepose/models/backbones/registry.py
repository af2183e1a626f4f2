"""The feature extractors by name, each with the pixel normalisation it was trained with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras import applications

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.models.backbones.hourglass52 import hourglass52
from keras_simplepose.models.backbones.mobilenet import mobilenet_v2
from keras_simplepose.models.backbones.resnet import BOTTLENECK_DEPTHS, STAGES, Style, resnet
from keras_simplepose.models.hdf5 import check_weights_file
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.names import look_up

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, 0–255: torchvision's (.485, .456, .406) × 255.
IMAGENET_STD = (58.395, 57.12, 57.375)  # torchvision's (.229, .224, .225) × 255.
STRIDE = 32


@dataclass(frozen=True)
class Normalization:
    """The arguments of `PixelNormalization`: mean and deviation on 0–255, in channel order."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: str = "rgb"


_CAFFE = Normalization((103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "bgr")  # keras.applications.resnet
_PLUS_MINUS_ONE = Normalization((127.5,) * 3, (127.5,) * 3)  # keras.applications resnet_v2, mobilenet_v2 and v3


@dataclass(frozen=True)
class Backbone:
    """One feature extractor.

    Attributes:
        build: maps (x [B, H, W, 3] normalised, weights, alpha) to features at stride 32, of hourglass52 4.
        normalization: of the pixels it takes.
        has_imagenet_weights: whether `keras.applications` publishes weights for it.
        has_alpha: whether a width multiplier means anything to it.
    """

    build: Callable[[Tensor, str | None, float], Tensor]
    normalization: Normalization
    has_imagenet_weights: bool = True
    has_alpha: bool = False


def _application(
    constructor: Callable[..., Any], takes_alpha: bool = False, last_layer: str = "", **options: Any
) -> Callable[..., Any]:
    """The `build` of a keras.applications model, up to a layer if one is named."""

    def build(x: Tensor, weights: str | None, alpha: float) -> Tensor:
        width = {"alpha": alpha} if takes_alpha else {}
        if weights not in (None, "imagenet"):
            check_weights_file(Path(weights))
        try:
            model = constructor(include_top=False, weights=weights, input_tensor=x, **options, **width)
        except Exception as error:  # Of the network, of HDF5, of Keras, where a file's weights do not fit.
            if weights is None:
                raise
            text = " ".join(str(error).split())[:150]
            raise UserError(f"backbone_weights {weights}: cannot be fetched or read, or do not fit ({text})") from error
        return model.get_layer(last_layer).output if last_layer else model.output

    return build


def _own_resnet(depth: int, style: Style) -> Callable[..., Any]:
    return lambda x, weights, alpha: resnet(x, depth, style, alpha)


BACKBONES: dict[str, Backbone] = {
    **{
        f"resnet{depth}": Backbone(_application(getattr(applications, f"ResNet{depth}")), _CAFFE)
        for depth in (50, 101, 152)
    },
    **{
        f"resnet{depth}v2": Backbone(_application(getattr(applications, f"ResNet{depth}V2")), _PLUS_MINUS_ONE)
        for depth in (50, 101, 152)
    },
    **{
        f"resnet{depth}_{style}": Backbone(
            _own_resnet(depth, style), Normalization(), has_imagenet_weights=False, has_alpha=True
        )
        for depth in STAGES
        for style in (("pytorch", "caffe") if depth in BOTTLENECK_DEPTHS else ("pytorch",))
    },
    "mobilenetv2": Backbone(_application(applications.MobileNetV2, takes_alpha=True), _PLUS_MINUS_ONE, has_alpha=True),
    # Without the last 1×1 convolution to 1280 channels, which costs a fifth of the weights and serves classification.
    "mobilenetv2_bottleneck": Backbone(
        _application(applications.MobileNetV2, takes_alpha=True, last_layer="block_16_project_BN"),
        _PLUS_MINUS_ONE,
        has_alpha=True,
    ),
    # Half the weights of that: its last three blocks have as many as all before them.
    "mobilenetv2_block13": Backbone(
        _application(applications.MobileNetV2, takes_alpha=True, last_layer="block_13_project_BN"),
        _PLUS_MINUS_ONE,
        has_alpha=True,
    ),
    "mobilenetv2_pytorch": Backbone(
        lambda x, weights, alpha: mobilenet_v2(x, alpha), Normalization(), has_imagenet_weights=False, has_alpha=True
    ),
    "hourglass52": Backbone(lambda x, weights, alpha: hourglass52(x), Normalization(), has_imagenet_weights=False),
    **{
        f"mobilenetv3{size}": Backbone(
            _application(
                getattr(applications, f"MobileNetV3{size.capitalize()}"), takes_alpha=True, include_preprocessing=False
            ),
            _PLUS_MINUS_ONE,
            has_alpha=True,
        )
        for size in ("small", "large")
    },
    **{
        f"efficientnetv2b{size}": Backbone(
            _application(getattr(applications, f"EfficientNetV2B{size}"), include_preprocessing=False), Normalization()
        )
        for size in range(4)
    },
    **{
        f"efficientnetv2{size}": Backbone(
            _application(getattr(applications, f"EfficientNetV2{size.upper()}"), include_preprocessing=False),
            Normalization((128.0,) * 3, (128.0,) * 3),
        )
        for size in "sml"
    },
    "convnexttiny": Backbone(_application(applications.ConvNeXtTiny, include_preprocessing=False), Normalization()),
}


def get_backbone(name: str) -> Backbone:
    """The backbone of that name.

    Raises:
        UserError: there is none; the message gives the nearest names.
    """
    return look_up("backbone", name, BACKBONES)
