"""The detectors by name. A new one is a module with a function of `DetectorConfig`, and a line in `DETECTORS`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from keras_simplepose.config import DetectorConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.detection.center_detector import CenterDetector
from keras_simplepose.detection.keras_hub import KerasHubDetector
from keras_simplepose.detection.yolox import YoloxDetector
from keras_simplepose.models.fetching import fetch
from keras_simplepose.models.files import SHIPPED
from keras_simplepose.models.presets import PERSON_DETECTOR, find_preset
from keras_simplepose.utils.errors import UserError

# Maps an image [H, W, 3] uint8 RGB to the persons in it, best first.
Detector = Callable[[np.ndarray], PersonBoxes]


@dataclass(frozen=True)
class DetectorKind:
    """One kind of detector.

    Attributes:
        usage: how it is asked for: a name, PREFIX:REST, or FILE.suffix.
        load: makes the detector of a configuration that asks for it.
        description: what it is.
    """

    usage: str
    load: Callable[[DetectorConfig], Detector]
    description: str

    def names(self, text: str) -> bool:
        """Whether a text asks for this kind."""
        if ":" in self.usage:
            return text.startswith(self.usage.partition(":")[0] + ":")
        if "." in self.usage:
            return text.endswith("." + self.usage.partition(".")[2])
        return text == self.usage


DETECTORS: dict[str, DetectorKind] = {
    "none": DetectorKind("none", lambda config: PersonBoxes.whole, "every whole image is one person"),
    "keras_hub": DetectorKind("keras_hub:PRESET", KerasHubDetector.from_config, "an object detector of KerasHub"),
    "centers": DetectorKind("FILE.keras", CenterDetector.from_config, "a network of train_detector"),
    "yolox": DetectorKind("FILE.onnx", YoloxDetector, "a YOLOX network"),
}


def load_detector(config: DetectorConfig) -> Detector:
    """The detector a configuration names.

    Raises:
        UserError: an option is out of range, the file is missing or no YOLOX network, or KerasHub is not installed or
            has no such preset; or a name is unknown, or its file is not to be had.
    """
    for kind in DETECTORS.values():
        if kind.names(config.detector):
            return kind.load(config)
    # No file can be meant: a detector's has a suffix, and a folder may well be called as a detector is.
    if preset := find_preset(config.detector, PERSON_DETECTOR, {kind.usage: kind for kind in DETECTORS.values()}):
        if not preset.address:
            return CenterDetector.from_config(replace(config, detector=str(SHIPPED[preset.name])))
        return YoloxDetector(replace(config, detector=str(fetch(preset)), detector_size=preset.input_side))
    usages = ", ".join(kind.usage for kind in DETECTORS.values())
    raise UserError(f"{config.detector}: no detector; there is {usages}, or a name that presets lists")
