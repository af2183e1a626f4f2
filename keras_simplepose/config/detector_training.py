"""Training a person detector. Sources: [CenterNet] is "Objects as Points" (Zhou et al. 2019)."""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.network import NEW_NETWORK, SIZE, ModelConfig
from keras_simplepose.config.options import option, same
from keras_simplepose.config.training import OptimizationConfig, RunConfig, TrainingDataConfig


@dataclass(frozen=True)
class DetectorModelConfig:
    """The network."""

    backbone: str = option("mobilenetv2_bottleneck", "feature extractor, as in train", only_with=NEW_NETWORK)
    backbone_weights: str = same(ModelConfig, "backbone_weights")
    alpha: float = same(ModelConfig, "alpha")
    input_size: tuple[int, int] = option(
        (288, 384), "height,width into which images are letterboxed", **SIZE, only_with=NEW_NETWORK
    )
    deconv_filters: tuple[int, ...] = option(
        (128, 64, 64),
        "channels of each transposed convolution",
        minimum=1,
        lengths=range(6),
        only_with=NEW_NETWORK,
    )
    deconv_kernels: tuple[int, ...] = same(ModelConfig, "deconv_kernels")
    skip_connections: bool = option(
        True, "add the backbone's finer features to each transposed convolution's output", only_with=NEW_NETWORK
    )
    frozen_layers: tuple[str, ...] = same(ModelConfig, "frozen_layers")
    initial_model: str = option("", "a person detector to go on from, with its own architecture, frame and weights")


@dataclass(frozen=True)
class DetectorDataConfig:
    """Training and validation data."""

    annotations: str = option("", "COCO keypoint JSON with the persons' boxes and crowd regions", required=True)
    images: str = option("", "folder of the training images", required=True)
    validation_annotations: str = option("", "COCO keypoint JSON to measure box AP on; none: no evaluation")
    validation_images: str = same(TrainingDataConfig, "validation_images")
    maximum_images: int = option(0, "use only the first so many images, for trials; 0: all", minimum=0)
    skip_damaged: bool = same(TrainingDataConfig, "skip_damaged", only_with=())
    trust_keypoint_order: bool = same(TrainingDataConfig, "trust_keypoint_order", only_with=())
    boxes_from_keypoints: bool = same(TrainingDataConfig, "boxes_from_keypoints", only_with=())
    follow_paths: bool = same(TrainingDataConfig, "follow_paths", only_with=())
    orientation: Literal["auto", "stored", "displayed"] = same(TrainingDataConfig, "orientation", only_with=())


@dataclass(frozen=True)
class DetectorAugmentationConfig:
    """Augmentation of the training images."""

    minimum_scale: float = option(0.6, "least factor on an image's size [CenterNet]", above=0, maximum=1)
    maximum_scale: float = option(1.4, "largest factor on an image's size [CenterNet: 1.3]", minimum=1)
    translation: float = option(
        0.1, "largest shift as a share of the input, beside what the scale leaves free", minimum=0, maximum=1
    )
    flip_probability: float = option(0.5, "share of images that are mirrored [CenterNet]", minimum=0, maximum=1)
    tint: float = option(
        0.2, "largest change of brightness, and half of it of each colour, as a share", minimum=0, below=1
    )


@dataclass(frozen=True)
class DetectorOptimizationConfig:
    """Optimiser and schedule."""

    epochs: int = option(70, "passes over the training images", minimum=1)
    batch_size: int = option(32, "images per step over all devices", minimum=1)
    learning_rate: float = same(OptimizationConfig, "learning_rate")
    schedule: Literal["steps", "cosine"] = option("cosine", "steps: × drop_factor at drop_epochs; cosine: down to 0")
    drop_epochs: tuple[int, ...] = same(OptimizationConfig, "drop_epochs")
    drop_factor: float = same(OptimizationConfig, "drop_factor")
    warmup_steps: int = same(OptimizationConfig, "warmup_steps")
    adam_epsilon: float = same(OptimizationConfig, "adam_epsilon")
    weight_decay: float = same(OptimizationConfig, "weight_decay")
    gradient_clip_norm: float = same(OptimizationConfig, "gradient_clip_norm")
    learning_rate_factors: tuple[str, ...] = same(OptimizationConfig, "learning_rate_factors")
    size_weight: float = option(2.0, "of the loss of sizes, beside 1 for centres and offsets", minimum=0)


@dataclass(frozen=True)
class DetectorTrainingConfig:
    """All configurations of a run."""

    model: DetectorModelConfig = DetectorModelConfig()
    data: DetectorDataConfig = DetectorDataConfig()
    augmentation: DetectorAugmentationConfig = DetectorAugmentationConfig()
    optimization: DetectorOptimizationConfig = DetectorOptimizationConfig()
    run: RunConfig = RunConfig()
