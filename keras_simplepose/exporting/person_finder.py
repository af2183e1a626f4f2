"""The person detector inside an exported file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_simplepose.config import DetectorConfig, ExportConfig
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.centers import DetectorSpec
from keras_simplepose.detection.center_detector import CenterDetector
from keras_simplepose.detection.graph import find_persons
from keras_simplepose.models.files import SHIPPED, load_person_detector
from keras_simplepose.models.person_detector import detector_spec
from keras_simplepose.utils.errors import UserError


@dataclass(frozen=True)
class PersonFinder:
    """A person detector to be put into a file.

    Attributes:
        network: in float32.
        threshold: least score of a person.
        overlap: greatest IoU with a better box.
        most: persons of a file whose shapes are fixed.
    """

    network: keras.Model
    threshold: float
    overlap: float
    most: int

    @classmethod
    def from_config(cls, config: ExportConfig) -> "PersonFinder | None":
        """The detector that an export is asked to put in, or None.

        Raises:
            UserError: there is no such detector, or it is of another kind, which no file can hold.
        """
        if not config.with_detector:
            return None
        if config.detector not in SHIPPED and Path(config.detector).suffix != ".keras":
            raise UserError(
                f"detector {config.detector}: a file can hold person_detector or a .keras file of train_detector"
            )
        network = load_person_detector(config.detector)
        own = detector_spec(network).threshold
        threshold = own if config.detector_threshold < 0 else config.detector_threshold
        return cls(network, threshold, config.detector_overlap, config.most_persons)

    @property
    def spec(self) -> DetectorSpec:
        """The detector's."""
        return detector_spec(self.network)

    def to_dict(self) -> dict[str, Any]:
        """What a file says of it."""
        return {
            "input_size": list(self.spec.input_size),
            "threshold": self.threshold,
            "overlap": self.overlap,
            "most_persons": self.most,
        }

    def candidates(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `detection.graph.find_persons`."""
        network = lambda images: self.network(images, training=False)  # noqa: E731
        return find_persons(network, image, self.spec, self.overlap)

    def reference(self) -> CenterDetector:
        """What prediction uses, with the same thresholds."""
        return CenterDetector(
            self.network, DetectorConfig(detector_threshold=self.threshold, detector_overlap=self.overlap)
        )
