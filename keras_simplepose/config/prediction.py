"""Detection and prediction."""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.evaluation import (
    ANY_MODEL,
    BOXES_FROM_KEYPOINTS,
    FOLLOW_PATHS,
    ORIENTATION,
    SKIP_DAMAGED,
    TRUST_KEYPOINT_ORDER,
)
from keras_simplepose.config.network import ModelConfig
from keras_simplepose.config.options import option, same

_WITHOUT_BOXES = {"boxes": False, "poses": False}
FINDS_PERSONS = {"detector": ("person_detector", "*.keras", "*.onnx", "yolox_*", "keras_hub:*")} | _WITHOUT_BOXES
OWN_THRESHOLD = -1.0
DETECTOR_THRESHOLD = 0.3  # Least score of a person, where the detector states none.


@dataclass(frozen=True)
class DetectorConfig:
    """Where the persons are."""

    detector: str = option(
        "person_detector",
        "person_detector, which ships; a .keras file of train_detector, a YOLOX .onnx file, yolox_nano or another name "
        "that presets lists, keras_hub:PRESET, or none: every whole image is one person",
        required=_WITHOUT_BOXES,
        only_with=_WITHOUT_BOXES,
    )
    detector_size: int = option(
        416,
        "side of a YOLOX file's input in pixels; 640 for all but nano and tiny; known of names",
        multiple_of=32,
        minimum=32,
        only_with={"detector": "*.onnx"} | _WITHOUT_BOXES,
    )
    detector_threshold: float = option(
        OWN_THRESHOLD,
        "least score of a person; -1: what person_detector or a .keras file states for itself, "
        f"{DETECTOR_THRESHOLD} for the others",
        minimum=-1,
        maximum=1,
        only_with=FINDS_PERSONS,
    )
    detector_overlap: float = option(
        0.65,
        "IoU above which the weaker of two boxes is a duplicate [YOLOX]",
        minimum=0,
        maximum=1,
        only_with=FINDS_PERSONS,
    )
    person_class: int = option(
        -1,
        "the detector's class number of persons; -1: 0, or 1 for KerasHub's of 91 classes",
        minimum=-1,
        only_with={"detector": ("*.onnx", "yolox_*", "keras_hub:*")} | _WITHOUT_BOXES,
    )

    def threshold(self, own: float = DETECTOR_THRESHOLD) -> float:
        """The least score of a person, `own` being the detector's."""
        return own if self.detector_threshold < 0 else self.detector_threshold


@dataclass(frozen=True)
class DetectionDataConfig:
    """What to detect persons in."""

    annotations: str = option("", "COCO keypoint JSON that lists the images", required=True)
    images: str = option("", "folder of the images", required=True)
    output: str = option("", "JSON file for the boxes, COCO detection results", required=True)
    skeleton: str = same(ModelConfig, "skeleton")
    skip_damaged: bool = option(False, SKIP_DAMAGED)
    trust_keypoint_order: bool = option(False, TRUST_KEYPOINT_ORDER)
    boxes_from_keypoints: bool = option(False, BOXES_FROM_KEYPOINTS)
    follow_paths: bool = option(False, FOLLOW_PATHS)
    orientation: Literal["auto", "stored", "displayed"] = option("auto", ORIENTATION)


@dataclass(frozen=True)
class PredictConfig:
    """What to predict, and what to write."""

    model: str = option("small", ANY_MODEL)
    input: str = option(
        "",
        "an image, a folder of images, a quoted glob, a video, a camera's number, or a stream's address",
        required=True,
    )
    output: str = option("", "folder for poses.json, poses.csv and the drawings", required=True)
    boxes: str = option("", "the persons' boxes instead of a detector: COCO detection results or annotations")
    orientation: Literal["auto", "stored", "displayed"] = option(
        "auto",
        "photographs with an EXIF orientation: as stored or as displayed; auto: as the boxes are, else displayed",
    )
    draw: bool = option(True, "write the pictures, or the video, with the poses drawn in")
    heatmaps: bool = option(False, "lay the heatmaps over the drawings", only_with=({"draw": True}, {"show": True}))
    show: bool = option(False, "show the drawings in a window as they are made; q closes it and ends the run")
    fiftyone: bool = option(
        False, "of photographs: also a folder, fiftyone, that FiftyOne opens as a dataset (FiftyOneDataset)"
    )
    maximum_frames: int = option(0, "stop after so many images or frames; 0: all of them", minimum=0)
