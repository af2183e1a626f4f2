"""Evaluation: the protocol, and what it is to be applied to.

Sources: [paper] is Simple Baselines (ECCV 2018) and its official release.
"""

from dataclasses import dataclass
from typing import Any, Literal

from keras_simplepose.config.network import ModelConfig
from keras_simplepose.config.options import Condition, option, same

ANY_MODEL = (
    "the model: a .keras file; small (the shipped one), another name that presets lists, or hf://OWNER/NAME; or what "
    "export made of one: a .tflite or .onnx file, or a SavedModel's folder"
)
SKIP_DAMAGED = "leave out images that cannot be read, count and list them, instead of stopping"
TRUST_KEYPOINT_ORDER = "take the annotations' keypoints in their order, though their names contradict the skeleton's"
BOXES_FROM_KEYPOINTS = "where an annotation lacks its box, take 1.25 times the extent of its labelled keypoints"
FOLLOW_PATHS = "read images whose names lead out of their folder: by .., from the root, or through a link"
ORIENTATION = (
    "photographs with an EXIF orientation: pixels as stored, or as displayed; auto: as their records' sizes say"
)
VALIDATION: tuple[Condition, ...] = ({"validation_annotations": True}, {"synthetic_images": True})


def _each(conditions: tuple[Condition, ...], **more: Any) -> tuple[Condition, ...]:
    """The conditions, each with more to hold."""
    return tuple({**condition, **more} for condition in conditions)


NETWORK_RUNS = _each(VALIDATION, codec_only=False)
POSES_SCORED = _each(NETWORK_RUNS, metric="oks", proof_annotations=True)
CODEC_ALONE = {"codec_only": True, "model": False}
CODEC_FRAME = CODEC_ALONE | {"ceiling_table": False}


@dataclass(frozen=True)
class EvaluationConfig:
    """Protocol of evaluation and prediction.

    Example:
        >>> from keras_simplepose import EvaluationConfig
        >>> EvaluationConfig(flip_test=False).nms_threshold
        0.9
    """

    flip_test: bool = option(
        True, "average the heatmaps with those of the mirrored crop [paper]", only_with=NETWORK_RUNS
    )
    flip_shift: bool = option(
        True,
        "move the mirrored heatmaps one column right before averaging [paper]; never with the codec udp",
        only_with=_each(NETWORK_RUNS, flip_test=True),
    )
    decoding: Literal["model", "quarter_offset", "dark"] = option(
        "model",
        "how heatmaps are read: as the model's codec says, or by one that has the same frame: quarter_offset and dark "
        "read each other's",
        only_with=NETWORK_RUNS,
    )
    keypoint_threshold: float = option(
        0.2, "heatmap maxima above this count in a pose's score [paper]", only_with=VALIDATION
    )
    nms: Literal["hard", "soft", "none"] = option(
        "hard", "suppression of duplicate poses by OKS [paper: hard]", only_with=POSES_SCORED
    )
    nms_threshold: float = option(
        0.9,
        "OKS above which the weaker pose is a duplicate [paper]",
        above=0,
        maximum=1,
        only_with=_each(POSES_SCORED, nms=("hard", "soft")),
    )
    soft_nms_keep: int = option(
        20,
        "poses kept per image by soft suppression [paper, later code]",
        minimum=1,
        only_with=_each(POSES_SCORED, nms="soft"),
    )
    evaluation_batch_size: int = option(
        64, "crops per forward pass", minimum=1, only_with=_each(VALIDATION, proof_annotations=True)
    )


@dataclass(frozen=True)
class EvaluationDataConfig:
    """What to evaluate, and by which measure."""

    model: str = option("", ANY_MODEL, required={"codec_only": False})
    annotations: str = option("", "COCO keypoint JSON, or MPII's, with the ground truth", required=True)
    images: str = option("", "folder of the images", required={"codec_only": False})
    detections: str = option(
        "",
        "COCO detection results with person boxes; without it the ground truth's boxes serve",
        only_with={"codec_only": False, "metric": "oks"},
    )
    output: str = option("", "folder for metrics.json and results.json; default: MODEL-evaluation beside it")
    metric: Literal["oks", "pckh"] = option(
        "oks", "oks: COCO AP and AR; pckh: MPII's measure, in sizes of heads", only_with={"codec_only": False}
    )
    head_boxes: str = option(
        "",
        "MPII's gt_valid.mat; without it every annotation has a head_box [x1, y1, x2, y2]",
        only_with={"metric": "pckh"},
    )
    minimum_box_score: float = option(
        0.0, "detections below this are left out, and counted", minimum=0, only_with={"detections": True}
    )
    codec_only: bool = option(False, "no network: encode, decode and score the ground truth, the codec's ceiling")
    report: bool = option(
        False,
        "write a page as well that says which errors cost how much AP: OUTPUT/report/index.html",
        only_with={"metric": "oks"},
    )
    multi_worker: bool = option(
        False,
        "each process that TF_CONFIG lists predicts its share of the images; the chief merges and writes",
        only_with={"codec_only": False, "metric": "oks"},
    )
    skip_damaged: bool = option(False, SKIP_DAMAGED, only_with={"codec_only": False})
    trust_keypoint_order: bool = option(False, TRUST_KEYPOINT_ORDER)
    boxes_from_keypoints: bool = option(False, BOXES_FROM_KEYPOINTS)
    follow_paths: bool = option(False, FOLLOW_PATHS)
    orientation: Literal["auto", "stored", "displayed"] = option("auto", ORIENTATION, only_with={"codec_only": False})


@dataclass(frozen=True)
class CodecConfig:
    """The frame of heatmaps, where there is no model that has one."""

    skeleton: str = same(ModelConfig, "skeleton", only_with=CODEC_ALONE)
    input_size: tuple[int, int] = same(
        ModelConfig, "input_size", minimum=1, multiple_of="stride", only_with=CODEC_FRAME
    )
    sigma: float = same(ModelConfig, "sigma", only_with=CODEC_FRAME)
    codec: str = same(ModelConfig, "codec", only_with=CODEC_FRAME)
    stride: int = option(
        4,
        "crop pixels per heatmap pixel; 4 after three transposed convolutions [paper]",
        minimum=1,
        only_with=CODEC_FRAME,
    )
    ceiling_table: bool = option(
        False,
        "print every codec's ceiling at 128×96, 256×192 and 384×288 instead, and write nothing",
        only_with=CODEC_ALONE | {"output": False, "report": False},
    )
