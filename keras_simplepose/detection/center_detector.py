"""The project's own person detectors, networks of `build_person_detector` in .keras files."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_simplepose.config import DetectorConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.detection.graph import find_persons
from keras_simplepose.models.files import load_person_detector
from keras_simplepose.models.person_detector import detector_spec


class CenterDetector:
    """A person detector that finds centres."""

    def __init__(self, model: Any, config: DetectorConfig):
        """Wraps a network; its weights are read at every call, so it may be in training.

        Args:
            model: as `build_person_detector` makes it.
            config: thresholds.

        Raises:
            UserError: it is no person detector.
        """
        spec = detector_spec(model)
        self._threshold = config.threshold(spec.threshold)
        self._find = tf.function(
            lambda image: find_persons(
                lambda batch: model(batch, training=False), image, spec, config.detector_overlap
            ),
            input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)],
        )

    @classmethod
    def from_config(cls, config: DetectorConfig) -> "CenterDetector":
        """The detector in the .keras file that a configuration names, or the one that ships.

        Raises:
            UserError: as `load_person_detector`.
        """
        return cls(load_person_detector(Path(config.detector)), config)

    def __call__(self, image: np.ndarray) -> PersonBoxes:
        """The persons in an image [H, W, 3] uint8 RGB, best first."""
        boxes, scores = (value.numpy() for value in self._find(image))
        kept = (scores > 0) & (scores >= self._threshold) & np.isfinite(boxes).all(1)
        return PersonBoxes(boxes[kept], scores[kept])
