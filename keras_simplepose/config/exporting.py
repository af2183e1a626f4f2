"""Export: what to write, and the proof it must pass."""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.evaluation import ORIENTATION
from keras_simplepose.config.options import option, same
from keras_simplepose.config.prediction import DetectorConfig

WITH_DETECTOR = {"with_detector": True}
QUANTIZED = {"format": "tflite", "quantize": ("float16", "dynamic", "int8")}


@dataclass(frozen=True)
class ExportConfig:
    """What to export."""

    model: str = option("", "the model: a .keras file", required=True)
    output: str = option(
        "", "folder to write savedmodel/<version>, pose_*.tflite, pose.onnx and the report to", required=True
    )
    format: tuple[str, ...] = option(
        ("savedmodel", "tflite"),
        "a file or folder each",
        choices=("savedmodel", "tflite", "onnx"),
        lengths=range(1, 4),
        distinct=True,
    )
    version: int = option(
        0,
        "number of the SavedModel's folder; 0: one more than the highest there",
        minimum=0,
        only_with={"format": "savedmodel"},
    )
    honour_orientation: bool = option(
        False,
        "turn photographs as their EXIF data say; the boxes are then of the turned photograph",
        only_with={"format": "savedmodel"},
    )
    jit_compile: bool = option(
        False,
        "XLA for the network; each new number of boxes is then compiled once",
        only_with={"format": "savedmodel"},
    )
    quantize: tuple[str, ...] = option(
        ("none",),
        "a file each",
        choices=("none", "float16", "dynamic", "int8"),
        lengths=range(1, 5),
        distinct=True,
        only_with={"format": "tflite"},
    )
    decode: Literal["keypoints", "gather_free", "none"] = option(
        "keypoints",
        "gather_free: the same without gathers; none: bare heatmaps, for delegates that want them",
        only_with={"format": "tflite"},
    )
    with_detector: bool = option(
        False,
        "also take a photograph alone and give everybody's pose: the SavedModel's signature persons, persons_*.tflite",
        only_with={"format": ("savedmodel", "tflite")},
    )
    detector: str = option(
        "person_detector",
        "the detector inside: person_detector, which ships, or a .keras file of train_detector",
        only_with=WITH_DETECTOR,
    )
    detector_threshold: float = same(DetectorConfig, "detector_threshold", only_with=WITH_DETECTOR)
    detector_overlap: float = same(DetectorConfig, "detector_overlap", only_with=WITH_DETECTOR)
    most_persons: int = option(
        10,
        "persons a persons_*.tflite has room for; it takes the time of so many in every photograph",
        minimum=1,
        maximum=100,
        only_with=WITH_DETECTOR | {"format": "tflite"},
    )
    calibration: str = option(
        "",
        "folder of images like those the file will see, or one written by prepare",
        only_with={"format": "tflite", "quantize": "int8"},
        required={"format": "tflite", "quantize": "int8"},
    )
    calibration_annotations: str = option(
        "",
        "COCO JSON with the boxes of those images; without it each image is one",
        only_with={"calibration": True},
    )
    calibration_count: int = option(100, "crops to calibrate with", minimum=1, only_with={"calibration": True})
    orientation: Literal["auto", "stored", "displayed"] = option(
        "auto", ORIENTATION, only_with=({"calibration": True}, {"proof_images": True})
    )


@dataclass(frozen=True)
class ProofConfig:
    """The proof that what was exported is the model."""

    proof_images: str = option("", "folder of images to prove the files on; without it they are generated")
    proof_annotations: str = option(
        "", "COCO JSON of those images: their boxes, and AP beside the differences", only_with={"proof_images": True}
    )
    proof_count: int = option(16, "crops to compare on", minimum=1)
    openvino: bool = option(
        False,
        "run the TFLite and ONNX files in OpenVINO as well; needs the extra openvino",
        only_with=({"format": "onnx"}, {"format": "tflite", "decode": ("keypoints", "gather_free")}),
    )
    tolerance: float = option(
        0.01, "largest difference of a keypoint from the Keras model's, in crop pixels", minimum=0
    )
    quantized_tolerance: float = option(
        2.0,
        "largest mean difference of a quantised file's confident keypoints",
        minimum=0,
        only_with=QUANTIZED | {"proof_annotations": False},
    )
    maximum_ap_loss: float = option(
        0.01, "largest loss of AP of a quantised file", minimum=0, only_with=QUANTIZED | {"proof_annotations": True}
    )
