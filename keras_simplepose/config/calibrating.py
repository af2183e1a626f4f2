"""Calibration of a model's probabilities."""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.evaluation import (
    BOXES_FROM_KEYPOINTS,
    FOLLOW_PATHS,
    ORIENTATION,
    SKIP_DAMAGED,
    TRUST_KEYPOINT_ORDER,
    EvaluationConfig,
)
from keras_simplepose.config.options import option, same


@dataclass(frozen=True)
class CalibrateConfig:
    """What to calibrate, and on which persons."""

    model: str = option("", "a .keras model that has a visibility head", required=True)
    annotations: str = option("", "COCO keypoint JSON, or MPII's, of persons that it was not trained on", required=True)
    images: str = option("", "folder of the images", required=True)
    output: str = option("", "the .keras model to write", required=True)
    evaluation_batch_size: int = same(EvaluationConfig, "evaluation_batch_size", only_with=())
    skip_damaged: bool = option(False, SKIP_DAMAGED)
    trust_keypoint_order: bool = option(False, TRUST_KEYPOINT_ORDER)
    boxes_from_keypoints: bool = option(False, BOXES_FROM_KEYPOINTS)
    follow_paths: bool = option(False, FOLLOW_PATHS)
    orientation: Literal["auto", "stored", "displayed"] = option("auto", ORIENTATION)
