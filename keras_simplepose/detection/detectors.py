"""The detectors by name."""

from collections.abc import Callable

import numpy as np

from keras_simplepose.config import DetectorConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.detection.keras_hub import KerasHubDetector
from keras_simplepose.detection.yolox import YoloxDetector
from keras_simplepose.utils.errors import UserError

KERAS_HUB = "keras_hub:"
WHOLE_IMAGE = "none"

# Maps an image [H, W, 3] uint8 RGB to the persons in it, best first.
Detector = Callable[[np.ndarray], PersonBoxes]


def load_detector(config: DetectorConfig) -> Detector:
    """The detector a configuration names.

    Raises:
        UserError: the file is missing or no YOLOX network, or KerasHub is not installed or has no such preset.
    """
    if config.detector == WHOLE_IMAGE:
        return PersonBoxes.whole
    if config.detector.startswith(KERAS_HUB):
        return KerasHubDetector.load(config.detector.removeprefix(KERAS_HUB), config)
    if not config.detector.endswith(".onnx"):
        raise UserError(f"detector is {config.detector!r}; give a YOLOX .onnx file, keras_hub:PRESET, or none")
    return YoloxDetector(config)
