"""Training: data, augmentation, optimisation, and the whole of a run.

Sources: [paper] is Simple Baselines (ECCV 2018) and its official release.
"""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.evaluation import (
    BOXES_FROM_KEYPOINTS,
    FOLLOW_PATHS,
    ORIENTATION,
    SKIP_DAMAGED,
    TRUST_KEYPOINT_ORDER,
    VALIDATION,
    EvaluationConfig,
)
from keras_simplepose.config.network import ModelConfig
from keras_simplepose.config.options import option, same

PHOTOGRAPHS = {"prepared": False, "synthetic_images": False}
ANNOTATED = (PHOTOGRAPHS, {"validation_annotations": True})
VALIDATION_FILES = {"validation_annotations": True, "synthetic_images": False}


@dataclass(frozen=True)
class TrainingDataConfig:
    """Training and validation data."""

    prepared: str = option(
        "",
        "folder written by prepare; without it the images are read directly, which is slower",
        only_with={"synthetic_images": False},
    )
    annotations: str = option(
        "", "COCO keypoint JSON, or MPII's, of the training persons", only_with=PHOTOGRAPHS, required=PHOTOGRAPHS
    )
    images: str = option("", "folder of the training images", only_with=PHOTOGRAPHS, required=PHOTOGRAPHS)
    validation_annotations: str = option(
        "",
        "COCO keypoint JSON, or MPII's, to measure AP on; none: no evaluation",
        only_with={"synthetic_images": False},
    )
    validation_images: str = option(
        "",
        "folder of the validation images",
        only_with=VALIDATION_FILES,
        required=VALIDATION_FILES,
    )
    data_service: tuple[str, ...] = option(
        (),
        "addresses grpc://HOST:PORT of machines that run serve_data, which read and decode the prepared set in turns",
        distinct=True,
        only_with={"prepared": True},
    )
    maximum_persons: int = option(
        0, "use only the first so many persons, for trials; 0: all", minimum=0, only_with=PHOTOGRAPHS
    )
    shuffle_buffer: int = option(4096, "persons held to be shuffled; the shards' order is shuffled as well", minimum=1)
    skip_damaged: bool = option(False, SKIP_DAMAGED, only_with=ANNOTATED)
    trust_keypoint_order: bool = option(False, TRUST_KEYPOINT_ORDER, only_with=ANNOTATED)
    boxes_from_keypoints: bool = option(False, BOXES_FROM_KEYPOINTS, only_with=ANNOTATED)
    follow_paths: bool = option(False, FOLLOW_PATHS, only_with=ANNOTATED)
    orientation: Literal["auto", "stored", "displayed"] = option("auto", ORIENTATION, only_with=ANNOTATED)


@dataclass(frozen=True)
class SyntheticDataConfig:
    """Rendered people, for a first run without data."""

    synthetic_images: int = option(
        0, "render so many training images into the workdir and train on them; 0: none", minimum=0
    )
    synthetic_validation_images: int = option(
        100, "rendered images held out to measure AP on", minimum=1, only_with={"synthetic_images": True}
    )


@dataclass(frozen=True)
class AugmentationConfig:
    """Augmentation of the training crops."""

    scale: float = option(
        0.3, "standard deviation of the scale factor, which is clipped to 1 ± this [paper]", minimum=0, below=1
    )
    scale_mode: Literal["clipped", "truncated", "uniform"] = option(
        "clipped",
        "clipped [paper]; truncated: the normal distribution cut off there [mmpose: scale 0.5]; uniform within",
        only_with={"scale": True},
    )
    rotation: float = option(
        40.0, "standard deviation of the rotation in degrees, clipped to twice this [paper]", minimum=0, maximum=180
    )
    rotation_probability: float = option(
        0.6, "share of crops that are rotated [paper]", minimum=0, maximum=1, only_with={"rotation": True}
    )
    flip_probability: float = option(0.5, "share of crops that are mirrored [paper]", minimum=0, maximum=1)
    shift: float = option(
        0.0, "largest shift of the centre as a share of the crop, each axis [mmpose: 0.16]", minimum=0, maximum=1
    )
    shift_probability: float = option(
        0.3, "share of crops that are shifted [mmpose]", minimum=0, maximum=1, only_with={"shift": True}
    )
    half_body_probability: float = option(
        0.0, "share of crops cut to the upper or lower body [mmpose: 0.3]", minimum=0, maximum=1
    )
    half_body_minimum: int = option(
        9,
        "least labelled keypoints of a person whose crop may be cut so [mmpose]",
        minimum=1,
        only_with={"half_body_probability": True},
    )
    brightness: float = option(
        0.0, "largest change of the factor on all values [torchvision's usual: 0.4]", minimum=0, maximum=1
    )
    contrast: float = option(
        0.0, "largest change of the factor on distances from the mean grey [0.4]", minimum=0, maximum=1
    )
    saturation: float = option(
        0.0, "largest change of the factor on distances from each pixel's grey [0.4]", minimum=0, maximum=1
    )
    hue: float = option(0.0, "largest turn of the hue in degrees [36]", minimum=0, maximum=180)
    photometric_probability: float = option(
        0.8,
        "share of crops whose colours are changed so [SimCLR]",
        minimum=0,
        maximum=1,
        only_with=({"brightness": True}, {"contrast": True}, {"saturation": True}, {"hue": True}),
    )
    erasing_probability: float = option(
        0.0, "share of crops with a rectangle erased [Zhong et al.: 0.5]", minimum=0, maximum=1
    )
    erasing_area: float = option(
        0.2,
        "largest share of the crop that is erased, the least being 0.02 [Zhong et al.: 0.4]",
        minimum=0.02,
        maximum=1,
        only_with={"erasing_probability": True},
    )


@dataclass(frozen=True)
class OptimizationConfig:
    """Optimiser and schedule."""

    epochs: int = option(140, "passes over the training persons [paper]", minimum=1)
    batch_size: int = option(128, "persons per step over all devices [paper: 32 on each of 4]", minimum=1)
    accumulation_steps: int = option(
        1, "equal parts that each device works its batch through in, one after the other, for memory", minimum=1
    )
    loss: Literal["mse", "labelled_mse", "ohkm", "adaptive_wing"] = option(
        "mse",
        "mse [paper]; labelled_mse: its mean over labelled keypoints only; ohkm: the last stage learns each person's "
        "hardest keypoints [CPN, CVPR 2018]; adaptive_wing [Wang et al., ICCV 2019]",
    )
    occluded_weight: float = option(
        1.0,
        "what the loss of a keypoint labelled as occluded (v = 1) is multiplied with [paper: 1]",
        minimum=0,
        maximum=1,
    )
    hard_keypoints: int = option(8, "how many keypoints are the hardest [CPN]", minimum=1, only_with={"loss": "ohkm"})
    learning_rate: float = option(1e-3, "of Adam, at the start [paper]", above=0)
    schedule: Literal["steps", "cosine"] = option("steps", "steps: × drop_factor at drop_epochs; cosine: down to 0")
    drop_epochs: tuple[int, ...] = option(
        (90, 120),
        "0-based epochs at whose start the learning rate drops [paper]",
        minimum=0,
        distinct=True,
        only_with={"schedule": "steps"},
    )
    drop_factor: float = option(
        0.1, "what it is multiplied with then [paper]", above=0, only_with={"schedule": "steps", "drop_epochs": True}
    )
    warmup_steps: int = option(0, "steps over which the learning rate rises linearly from 0 [paper: none]", minimum=0)
    adam_epsilon: float = option(
        1e-8, "as PyTorch adds it, after the bias correction; Keras adds 1e-7 before it [paper]", above=0
    )
    weight_decay: float = option(
        0.0, "above 0: AdamW, decoupled; norms and biases are left out [paper: none; AdamW's authors: 0.01]", minimum=0
    )
    gradient_clip_norm: float = option(
        0.0, "largest norm of all gradients together; above, they are scaled down to it; 0: any [paper]", minimum=0
    )
    learning_rate_factors: tuple[str, ...] = option(
        (), "NAME:FACTOR, for layers whose names begin so; the last that fits counts; * stands for anything"
    )
    ema_decay: float = option(
        0.0,
        "above 0: a moving average of the weights is kept and evaluated too [usual: 0.999 to 0.9999]",
        minimum=0,
        below=1,
    )
    teacher: str = option(
        "", "model whose heatmaps of the same crops are learnt beside the labels [Hinton et al. 2015]; a file or a name"
    )
    teacher_weight: float = option(
        0.5,
        "share of the loss that is the teacher's, in which keypoints count that nobody labelled; the labels have the "
        "rest [Zhang et al., CVPR 2019: 0.5]",
        above=0,
        maximum=1,
        only_with={"teacher": True},
    )


@dataclass(frozen=True)
class RunConfig:
    """How and where it runs."""

    workdir: str = option("", "folder for checkpoints, curves, pictures and flags.cfg", required=True)
    seed: int = option(0, "of shuffling, augmentation and initial weights", minimum=0, maximum=2**32 - 1)
    strategy: Literal["auto", "one_device", "mirrored", "multi_worker", "tpu"] = option(
        "auto", "tf.distribute strategy; auto: mirrored over all GPUs, one_device without"
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = option("float32", "of the network's layers")
    jit_compile: Literal["auto", "on", "off"] = option(
        "auto", "XLA for the training step; auto times both ways if the run is long enough to earn it back"
    )
    evaluate_every: int = option(1, "epochs between evaluations on the validation set", minimum=1, only_with=VALIDATION)
    picture_count: int = option(8, "crops drawn with targets and predictions at each evaluation; 0: none", minimum=0)
    resume: Literal["on", "off", "force"] = option(
        "on",
        "on: go on where an interrupted run in the same workdir stopped; off: refuse such a folder; "
        "force: go on with other options or data",
    )
    checkpoint_every: str = option(
        "1000",
        "steps, or minutes as in 10min, after which a checkpoint is due within an epoch; the most that is done twice",
        form=("[1-9][0-9]{0,8}(min)?", "a number of steps, or of minutes as in 10min"),
    )
    keep_checkpoints: int = option(2, "newest checkpoints kept, beside the one of the highest AP", minimum=1)


@dataclass(frozen=True)
class TrainingConfig:
    """All configurations of a run."""

    model: ModelConfig = ModelConfig()
    data: TrainingDataConfig = TrainingDataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    run: RunConfig = RunConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


@dataclass(frozen=True)
class PrepareConfig:
    """What to prepare."""

    annotations: str = option("", "COCO keypoint JSON, or MPII's", required=True)
    images: str = option("", "folder of the images", required=True)
    output: str = option("", "folder to write the shards and the manifest to", required=True)
    persons_per_shard: int = option(1024, "persons in one TFRecord file", minimum=1)
    jpeg_quality: int = option(95, "of the patches", minimum=1, maximum=100)
    workers: int = option(0, "processes; 0: one per core", minimum=0)
    skip_damaged: bool = option(False, SKIP_DAMAGED)
    trust_keypoint_order: bool = option(False, TRUST_KEYPOINT_ORDER)
    boxes_from_keypoints: bool = option(False, BOXES_FROM_KEYPOINTS)
    follow_paths: bool = option(False, FOLLOW_PATHS)
    orientation: Literal["auto", "stored", "displayed"] = option("auto", ORIENTATION)


@dataclass(frozen=True)
class ServeDataConfig:
    """Where to serve."""

    host: str = option("", "this machine's name or address, as the trainings reach it", required=True)
    port: int = option(5050, "that trainings name", minimum=1, maximum=65534)
    worker_port: int = option(0, "through which the batches go; 0: the one after the other", minimum=0, maximum=65535)


@dataclass(frozen=True)
class PatchConfig:
    """What the patches must serve; train refuses a set prepared for another model or weaker augmentation."""

    input_size: tuple[int, int] = same(ModelConfig, "input_size")
    skeleton: str = same(ModelConfig, "skeleton")
    scale: float = same(AugmentationConfig, "scale")
    rotation: float = same(AugmentationConfig, "rotation")
    shift: float = same(AugmentationConfig, "shift")
    half_body_probability: float = same(AugmentationConfig, "half_body_probability")
    half_body_minimum: int = same(AugmentationConfig, "half_body_minimum")
