"""Detecting persons in a data set."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from keras_simplepose.data.persons import Detection, ImageRecord, PersonSet
from keras_simplepose.detection.detectors import Detector
from keras_simplepose.media.images import check_image_folder, read_image
from keras_simplepose.media.orientation import Orientation, OrientationCount
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.stages import prefetch


@dataclass
class DetectionSummary:
    """What detection in a data set gave.

    Attributes:
        detections: of all images that could be read, best first within each.
        skipped: the fault of each image left out.
        images: the records of all images, by id.
        frames: the frame the boxes are in, "stored" or "displayed", by id of image, where it makes a difference.
        orientations: counts those.
    """

    detections: list[Detection] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    images: Mapping[int, ImageRecord] = field(default_factory=dict)
    frames: dict[int, str] = field(default_factory=dict)
    orientations: OrientationCount = field(default_factory=OrientationCount)

    def to_json(self, category_id: int) -> list[dict[str, Any]]:
        """COCO detection results; with file_name, and orientation where an image has one, for `predict --boxes`."""
        return [
            {
                "image_id": each.image_id,
                "category_id": category_id,
                "bbox": list(each.box),
                "score": each.score,
                "file_name": self.images[each.image_id].file_name,
                **({"orientation": self.frames[each.image_id]} if each.image_id in self.frames else {}),
            }
            for each in self.detections
        ]


def detect_data_set(
    person_set: PersonSet,
    folder: str | Path,
    detector: Detector,
    skip_damaged: bool = False,
    orientation: Orientation = "auto",
    progress: bool = True,
) -> DetectionSummary:
    """Detects the persons in every image of a data set, those without annotated persons too.

    Args:
        person_set: lists the images; they are read in the frame their annotations are in.
        folder: of the image files.
        detector: finds persons.
        skip_damaged: lists images that cannot be read instead of stopping.
        orientation: the frame to read images in, as `media.images.read_image`.
        progress: shows a progress bar.

    Raises:
        UserError: there is no image, or one cannot be read and `skip_damaged` is off.
    """
    if not person_set.images:
        raise UserError(f"{person_set.path}: lists no image")
    check_image_folder(folder)
    summary = DetectionSummary(images=person_set.images)

    def read() -> Iterable[tuple[int, np.ndarray | UserError]]:
        for record in person_set.images.values():
            try:
                size, path = (record.height, record.width), os.path.join(folder, record.file_name)
                image = read_image(path, size, orientation, summary.orientations)
                if frame := summary.orientations.frame_of(path):
                    summary.frames[record.id] = frame
                yield record.id, image
            except UserError as error:
                yield record.id, error

    for image_id, image in tqdm.tqdm(
        prefetch(read()), "detecting", len(person_set.images), unit=" images", disable=not progress
    ):
        if isinstance(image, UserError):
            if not skip_damaged:
                raise UserError(f"{image}; repair it, or leave such images out with skip_damaged") from image
            summary.skipped.append(str(image))
            continue
        found = detector(image)
        for box, score in zip(found.boxes.tolist(), found.scores.tolist(), strict=True):
            summary.detections.append(Detection(image_id, tuple(box), score))
    return summary
