"""KerasHub's object detectors as person detectors; KerasHub itself is the optional extra `detect`."""

from typing import Any

import numpy as np
from keras import utils

from keras_simplepose.config import DetectorConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.detection.boxes import keep_best
from keras_simplepose.media.letterbox import letterbox
from keras_simplepose.utils.errors import UserError

DEFAULT_SIZE = (640, 640)  # Input of a preset that fixes none; 640 is YOLOX's and D-FINE's.


class KerasHubDetector:
    """A `keras_hub.models.ObjectDetector`."""

    def __init__(self, model: Any, config: DetectorConfig):
        """Wraps a detector.

        Args:
            model: a `keras_hub.models.ObjectDetector`; its decoder takes over the thresholds of the configuration.
            config: thresholds and class number.

        Raises:
            UserError: persons' class number is neither known nor given.
        """
        self._model, self._config = model, config
        classes = getattr(model, "num_classes", None)
        if config.person_class >= 0:
            self._class = config.person_class
        elif classes == 91:  # KerasHub's COCO names: torchvision's, in which 0 is the background.
            self._class = 1
        elif classes == 80:
            self._class = 0
        else:
            raise UserError(f"the detector has {classes} classes, not COCO's; say which are persons with person_class")
        decoder = model.prediction_decoder
        decoder.confidence_threshold, decoder.iou_threshold = config.threshold(), config.detector_overlap
        converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
        self._size = tuple(getattr(converter, "image_size", None) or DEFAULT_SIZE)

    @classmethod
    def from_config(cls, config: DetectorConfig) -> "KerasHubDetector":
        """The preset that a configuration names as keras_hub:PRESET; errors as `load`."""
        return cls.load(config.detector.partition(":")[2], config)

    @classmethod
    def load(cls, preset: str, config: DetectorConfig) -> "KerasHubDetector":
        """Loads a preset; KerasHub downloads it if it must.

        Raises:
            UserError: KerasHub is not installed, or has no such preset or cannot fetch it.
        """
        try:
            import keras_hub
        except ImportError as error:
            raise UserError(
                f"detector keras_hub:{preset} needs KerasHub: pip install 'keras_simplepose[detect]' ({error})"
            ) from error
        try:
            model = keras_hub.models.ObjectDetector.from_preset(preset)
        except Exception as error:  # KerasHub lets through whatever its download clients raise.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UserError(f"detector keras_hub:{preset} cannot be loaded: {reason}") from error
        return cls(model, config)

    def __call__(self, image: np.ndarray) -> PersonBoxes:
        """The persons in an image [H, W, 3] uint8 RGB."""
        # The canvas has the size of the model's own resizing, so the boxes are in canvas pixels.
        canvas, factor = letterbox(image, self._size)
        found = self._model.predict(canvas[None].astype(np.float32), verbose=0)
        count = int(found["num_detections"][0])
        boxes = utils.bounding_boxes.convert_format(
            np.asarray(found["boxes"][0][:count], np.float32).reshape(-1, 4),
            source=self._model.bounding_box_format,
            target="xywh",
            height=self._size[0],
            width=self._size[1],
        )
        persons = np.asarray(found["labels"][0][:count]) == self._class
        boxes, scores = np.asarray(boxes)[persons], np.asarray(found["confidence"][0][:count])[persons]
        return keep_best(boxes / factor, scores, self._config.threshold(), self._config.detector_overlap)
