"""Every tunable: its default, its unit, its source. One frozen dataclass per purpose; `flags.py` makes flags of them.

Sources: [paper] is Simple Baselines (ECCV 2018) and its official release.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


def option(default: Any, help: str) -> Any:
    """A dataclass field with its default and the help text its flag shows."""
    return field(default=default, metadata={"help": help})


def same(config: Any, name: str) -> Any:
    """The field of another configuration, default and help text."""
    there = config.__dataclass_fields__[name]
    return field(default=there.default, metadata=there.metadata)


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    backbone: str = option("resnet50", "feature extractor, such as resnet50 (keras.applications) or resnet50_pytorch")
    backbone_weights: str = option("imagenet", "imagenet, none, or a file of weights for the backbone")
    alpha: float = option(1.0, "width multiplier of the MobileNets and of our own ResNets")
    input_size: tuple[int, ...] = option((256, 192), "height,width of the crop in pixels, multiples of 32 [paper]")
    deconv_filters: tuple[int, ...] = option((256, 256, 256), "channels of each transposed convolution [paper]")
    deconv_kernels: tuple[int, ...] = option((4, 4, 4), "kernel size of each transposed convolution: 2, 3 or 4 [paper]")
    skeleton: str = option("coco17", "coco17, mpii16, posetrack15, or a .toml or .json file")
    sigma: float = option(2.0, "Gaussian of the targets in heatmap pixels; 3 for 384-class inputs [paper]")
    frozen_layers: tuple[str, ...] = option(
        (), "layers whose names begin with one of these are not trained, batch norm too"
    )
    initial_model: str = option("", "a .keras model to go on from; its own architecture replaces the options above")


@dataclass(frozen=True)
class TrainingDataConfig:
    """Training and validation data."""

    prepared: str = option("", "folder written by prepare; without it the images are read directly, which is slower")
    annotations: str = option(
        "", "COCO keypoint JSON, or MPII's, of the training persons, when --prepared is not given"
    )
    images: str = option("", "folder of the training images, when --prepared is not given")
    validation_annotations: str = option("", "COCO keypoint JSON, or MPII's, to measure AP on; none: no evaluation")
    validation_images: str = option("", "folder of the validation images")
    maximum_persons: int = option(0, "use only the first so many persons, for trials; 0: all")
    shuffle_buffer: int = option(4096, "persons held to be shuffled; the shards' order is shuffled as well")
    skip_damaged: bool = option(False, "leave out images that cannot be read, count and list them, instead of stopping")


@dataclass(frozen=True)
class AugmentationConfig:
    """Augmentation of the training crops."""

    scale: float = option(0.3, "standard deviation of the scale factor, which is clipped to 1 ± this [paper]")
    rotation: float = option(40.0, "standard deviation of the rotation in degrees, clipped to twice this [paper]")
    rotation_probability: float = option(0.6, "share of crops that are rotated [paper]")
    flip_probability: float = option(0.5, "share of crops that are mirrored [paper]")
    shift: float = option(0.0, "largest shift of the centre as a share of the crop, each axis [mmpose: 0.16]")
    shift_probability: float = option(0.3, "share of crops that are shifted, if --shift is not 0 [mmpose]")
    half_body_probability: float = option(0.0, "share of crops cut to the upper or lower body [mmpose: 0.3]")
    half_body_minimum: int = option(9, "least labelled keypoints of a person whose crop may be cut so [mmpose]")


@dataclass(frozen=True)
class OptimizationConfig:
    """Optimiser and schedule."""

    epochs: int = option(140, "passes over the training persons [paper]")
    batch_size: int = option(128, "persons per step over all devices [paper: 32 on each of 4]")
    learning_rate: float = option(1e-3, "of Adam, at the start [paper]")
    schedule: Literal["steps", "cosine"] = option("steps", "steps: × --drop_factor at --drop_epochs; cosine: down to 0")
    drop_epochs: tuple[int, ...] = option((90, 120), "0-based epochs at whose start the learning rate drops [paper]")
    drop_factor: float = option(0.1, "what it is multiplied with then [paper]")
    warmup_steps: int = option(0, "steps over which the learning rate rises linearly from 0 [paper: none]")
    adam_epsilon: float = option(
        1e-8, "as PyTorch adds it, after the bias correction; Keras adds 1e-7 before it [paper]"
    )


@dataclass(frozen=True)
class RunConfig:
    """How and where it runs."""

    workdir: str = option("", "folder for checkpoints, curves, pictures and flags.cfg")
    seed: int = option(0, "of shuffling, augmentation and initial weights")
    strategy: Literal["auto", "one_device", "mirrored", "multi_worker", "tpu"] = option(
        "auto", "tf.distribute strategy; auto: mirrored over all GPUs, one_device without"
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = option("float32", "of the network's layers")
    jit_compile: Literal["auto", "on", "off"] = option(
        "auto", "XLA for the training step; auto times both ways if the run is long enough to earn it back"
    )
    evaluate_every: int = option(1, "epochs between evaluations on the validation set")
    picture_count: int = option(8, "crops drawn with targets and predictions at each evaluation; 0: none")
    resume: bool = option(True, "go on where an interrupted run in the same workdir stopped")


@dataclass(frozen=True)
class EvaluationConfig:
    """Protocol of evaluation and prediction.

    Example:
        >>> from keras_simplepose import EvaluationConfig
        >>> EvaluationConfig(flip_test=False).nms_threshold
        0.9
    """

    flip_test: bool = option(True, "average the heatmaps with those of the mirrored crop [paper]")
    flip_shift: bool = option(True, "move the mirrored heatmaps one column right before averaging [paper]")
    keypoint_threshold: float = option(0.2, "heatmap maxima above this count in a pose's score [paper]")
    nms: Literal["hard", "soft", "none"] = option("hard", "suppression of duplicate poses by OKS [paper: hard]")
    nms_threshold: float = option(0.9, "OKS above which the weaker pose is a duplicate [paper]")
    soft_nms_keep: int = option(20, "poses kept per image by soft suppression [paper, later code]")
    evaluation_batch_size: int = option(64, "crops per forward pass")


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate."""

    model: str = option("", "the model: a .keras file")
    annotations: str = option("", "COCO keypoint JSON, or MPII's, with the ground truth")
    images: str = option("", "folder of the images")
    detections: str = option("", "COCO detection results with person boxes; without it the ground truth's boxes serve")
    output: str = option("", "folder for metrics.json and results.json; default: MODEL-evaluation beside it")
    metric: Literal["oks", "pckh"] = option("oks", "oks: COCO AP and AR; pckh: MPII's measure, in sizes of heads")
    head_boxes: str = option(
        "", "pckh: MPII's gt_valid.mat; without it every annotation has a head_box [x1, y1, x2, y2]"
    )
    minimum_box_score: float = option(0.0, "detections below this are left out, and counted")
    codec_only: bool = option(False, "no network: encode, decode and score the ground truth, the codec's ceiling")
    skip_damaged: bool = option(False, "leave out images that cannot be read, count and list them, instead of stopping")


@dataclass(frozen=True)
class CodecConfig:
    """The frame of heatmaps, for evaluate --codec_only without a model."""

    skeleton: str = same(ModelConfig, "skeleton")
    input_size: tuple[int, ...] = same(ModelConfig, "input_size")
    sigma: float = same(ModelConfig, "sigma")
    stride: int = option(4, "crop pixels per heatmap pixel; 4 after three transposed convolutions [paper]")


@dataclass(frozen=True)
class PrepareConfig:
    """What to prepare."""

    annotations: str = option("", "COCO keypoint JSON, or MPII's")
    images: str = option("", "folder of the images")
    output: str = option("", "folder to write the shards and the manifest to")
    persons_per_shard: int = option(1024, "persons in one TFRecord file")
    jpeg_quality: int = option(95, "of the patches, 1 to 100")
    workers: int = option(0, "processes; 0: one per core")
    skip_damaged: bool = option(False, "leave out images that cannot be read, count and list them, instead of stopping")


@dataclass(frozen=True)
class PatchConfig:
    """What the patches must serve; train refuses a set prepared for another model or weaker augmentation."""

    input_size: tuple[int, ...] = same(ModelConfig, "input_size")
    skeleton: str = same(ModelConfig, "skeleton")
    scale: float = same(AugmentationConfig, "scale")
    rotation: float = same(AugmentationConfig, "rotation")
    shift: float = same(AugmentationConfig, "shift")
    half_body_probability: float = same(AugmentationConfig, "half_body_probability")
    half_body_minimum: int = same(AugmentationConfig, "half_body_minimum")


@dataclass(frozen=True)
class SyntheticDataConfig:
    """Rendered people, for a first run without data."""

    synthetic_images: int = option(0, "render so many training images into the workdir and train on them; 0: none")
    synthetic_validation_images: int = option(100, "rendered images held out to measure AP on")


@dataclass(frozen=True)
class ConvertConfig:
    """What to convert."""

    checkpoint: str = option(
        "", "PyTorch checkpoint (.pth.tar, .pth, .pt, .safetensors); with --to_torch a .keras model"
    )
    output: str = option("", "file to write: a .keras model; with --to_torch a .pth.tar, .pth, .pt or .safetensors")
    source: Literal["auto", "official", "mmpose", "torchvision"] = option(
        "auto",
        "whose conventions hold; auto: told from the tensors' names. torchvision has a backbone only: its head is new",
    )
    style: Literal["auto", "pytorch", "caffe"] = option(
        "auto", "where a ResNet strides, which no tensor tells; auto: pytorch, refused if the path speaks of caffe"
    )
    input_size: tuple[int, ...] = option(
        (), "height,width of the crop; default: from the file's name, else the source's"
    )
    channel_order: Literal["auto", "rgb", "bgr"] = option("auto", "of the pixels the weights saw; auto: the source's")
    mean: tuple[float, ...] = option((), "3 numbers on 0 to 255, in the channel order; default: the source's")
    std: tuple[float, ...] = option((), "3 numbers on 0 to 255, in the channel order; default: the source's")
    sigma: float = option(0.0, "of the training targets, in heatmap pixels; 0: 3 at 384-class inputs, else 2 [paper]")
    skeleton: str = option("", "name or file; default: of the data set that the file names, else coco17 or mpii16")
    weights: Literal["auto", "ema"] = option(
        "auto", "ema: the averaged weights of a file that holds both; auto: the others"
    )
    verify: bool = option(False, "run both networks first; write nothing unless they agree")
    verify_images: str = option("", "image or folder of images for --verify, beside random crops")
    to_torch: bool = option(False, "the other way: write a checkpoint in the official layout from a .keras model")


@dataclass(frozen=True)
class ExportConfig:
    """What to export, and the proof it must pass."""

    model: str = option("", "the model: a .keras file")
    output: str = option("", "folder to write savedmodel/<version>, pose_*.tflite, pose.onnx and the report to")
    format: tuple[str, ...] = option(("savedmodel", "tflite"), "of savedmodel, tflite and onnx")
    flip_test: bool = option(EvaluationConfig.flip_test, "flip test inside the artefacts, a pass of two crops a person")
    flip_shift: bool = option(EvaluationConfig.flip_shift, "with the shift by one heatmap column [paper]")
    keypoint_threshold: float = option(
        EvaluationConfig.keypoint_threshold, "heatmap maxima above this count in a pose's score [paper]"
    )
    version: int = option(0, "number of the SavedModel's folder; 0: one more than the highest there")
    honour_orientation: bool = option(
        False, "SavedModel: turn photographs as their EXIF data say; the boxes are then of the turned photograph"
    )
    jit_compile: bool = option(False, "SavedModel: XLA for the network; each new number of boxes is then compiled once")
    quantize: tuple[str, ...] = option(("none",), "TFLite: of none, float16, dynamic and int8; a file each")
    decode: Literal["keypoints", "gather_free", "none"] = option(
        "keypoints", "TFLite: gather_free: the same without gathers; none: bare heatmaps, for delegates that want them"
    )
    calibration: str = option("", "int8: folder of images, or one written by prepare")
    calibration_annotations: str = option("", "COCO JSON with the boxes of those images; without it each image is one")
    calibration_count: int = option(100, "crops to calibrate with")
    proof_images: str = option("", "folder of images to prove the artefacts on; without it they are generated")
    proof_annotations: str = option("", "COCO JSON of those images: their boxes, and AP beside the differences")
    proof_count: int = option(16, "crops to compare on")
    openvino: bool = option(False, "run the TFLite and ONNX files in OpenVINO as well; the extra openvino")
    tolerance: float = option(0.01, "largest difference of a keypoint from the Keras model's, in crop pixels")
    quantized_tolerance: float = option(2.0, "largest mean difference of a quantised file's confident keypoints")
    maximum_ap_loss: float = option(0.01, "largest loss of AP of a quantised file, with --proof_annotations")


@dataclass(frozen=True)
class DetectorConfig:
    """Where the persons are."""

    detector: str = option("", "a YOLOX .onnx file, keras_hub:PRESET, or none: every whole image is one person")
    detector_size: int = option(416, "side of a YOLOX input in pixels, a multiple of 32; 640 for all but nano and tiny")
    detector_threshold: float = option(0.3, "least score of a person")
    detector_overlap: float = option(0.65, "IoU above which the weaker of two boxes is a duplicate [YOLOX]")
    person_class: int = option(-1, "the detector's class number of persons; -1: 0, or 1 for KerasHub's of 91 classes")


@dataclass(frozen=True)
class DetectConfig:
    """What to detect persons in."""

    annotations: str = option("", "COCO keypoint JSON that lists the images")
    images: str = option("", "folder of the images")
    output: str = option("", "JSON file for the boxes, COCO detection results")
    skeleton: str = same(ModelConfig, "skeleton")
    skip_damaged: bool = same(EvaluateConfig, "skip_damaged")


@dataclass(frozen=True)
class PredictConfig:
    """What to predict, and what to write."""

    model: str = option("", "the model: a .keras file")
    input: str = option("", "an image, a folder of images, a quoted glob, a video, or a camera's number")
    output: str = option("", "folder for poses.json, poses.csv and the drawings")
    boxes: str = option("", "the persons' boxes: COCO detection results or annotations, instead of --detector")
    draw: bool = option(True, "write the pictures, or the video, with the poses drawn in")
    heatmaps: bool = option(False, "lay the heatmaps over the drawings")
    show: bool = option(False, "show the drawings in a window as they are made; q closes it and ends the run")
    maximum_frames: int = option(0, "stop after so many images or frames; 0: all of them")


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure."""

    suites: tuple[str, ...] = option(("input", "training"), "of input, training, export and video")
    annotations: str = option("", "input: COCO keypoint JSON of training persons")
    images: str = option("", "input: folder of their images")
    prepared: str = option(
        "", "input: what prepare wrote of them; without it, it is prepared anew in a temporary folder"
    )
    reference_loader: str = option(
        "", "input: script to compare with; takes --annotations --images --workers --limit, prints JSON lines"
    )
    reference_workers: tuple[int, ...] = option((0, 2), "input: numbers of workers of the script; its best counts")
    persons: int = option(1920, "input: persons per measurement")
    rounds: int = option(3, "measurements of each kind, taken in turns; their median counts")
    training_batch: int = option(8, "training: crops per step")
    training_steps: int = option(3, "training: steps per measurement")
    jit_compile: Literal["auto", "on", "off"] = option("auto", "training: XLA; auto: both ways, the faster one counts")
    export_batch: int = option(8, "export: crops a call, where a form takes several")
    model: str = option("", "video: pose model; default: a ResNet-50 of random weights, 256×192, which is as fast")
    detector: str = option("", "video: YOLOX .onnx file; without it no detector runs")
    frames: int = option(120, "video: frames of the rendered 1080p video of two people")
    output: str = option("", "file to write the rows to as well, JSON lines")
