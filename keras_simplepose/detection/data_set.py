"""Detecting persons in a data set, and measuring how many of the annotated ones were found."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from pycocotools import mask

from keras_simplepose.data.persons import Detection, ImageRecord, Person, PersonSet
from keras_simplepose.detection.detectors import Detector
from keras_simplepose.media.images import read_image
from keras_simplepose.media.orientation import Orientation, OrientationCount
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.stages import prefetch

RECALL_OVERLAP = 0.5  # IoU from which on a detection counts as the person's.
RECALL_SIZE = 64  # Pixels of a person's longer side from which on recall is reported.


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
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder of images")
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


def recall(
    persons: Iterable[Person], detections: Iterable[Detection], least_size: float, overlap: float = RECALL_OVERLAP
) -> tuple[int, int]:
    """How many persons were detected: greedily, from the best detection down, each detection serving one person.

    Args:
        persons: annotated.
        detections: of the same images.
        least_size: pixels of a person's longer side; smaller ones are not counted.
        overlap: least IoU of a detection with its person.

    Returns:
        the number found, and the number there are.
    """
    persons_of: dict[int, list[Person]] = {}
    for person in persons:
        persons_of.setdefault(person.image_id, []).append(person)
    detections_of: dict[int, list[Detection]] = {}
    for detection in detections:
        detections_of.setdefault(detection.image_id, []).append(detection)
    found = total = 0
    for image_id, group in persons_of.items():
        boxes = np.array([person.box for person in group], np.float64)
        large = boxes[:, 2:].max(1) >= least_size
        hit = np.zeros(len(group), bool)
        best_first = sorted(detections_of.get(image_id, []), key=lambda detection: -detection.score)
        candidates = np.array([detection.box for detection in best_first], np.float64).reshape(-1, 4)
        for ious in mask.iou(candidates, boxes, [0] * len(boxes)) if len(candidates) else ():
            ious = np.where(hit, 0, ious)
            hit[ious.argmax()] |= ious.max() >= overlap
        found, total = found + int((hit & large).sum()), total + int(large.sum())
    return found, total
