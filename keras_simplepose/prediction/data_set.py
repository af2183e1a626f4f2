"""Predicting all persons of a data set: boxes by image, images read once and ahead of the network."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tqdm

from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.data.persons import Detection, ImageRecord, Person, PersonSet
from keras_simplepose.media.images import read_image
from keras_simplepose.media.orientation import ImageReading, Orientation
from keras_simplepose.prediction.predictor import PosePredictor, Poses, PredictionRequest
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.processes import bounded_map

READERS = 2  # Threads that read images: decoding a photograph takes less time than its persons take the network.
READ_AHEAD = 8  # Images read and waiting, at most.

SEEN_WELL = 0.4  # Least height of a person that is seen well, as a share of the image's.


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """The boxes to predict in one image.

    Attributes:
        image: its record.
        persons: where they are; score 1 for the ground truth's.
    """

    image: ImageRecord
    persons: PersonBoxes


def ground_truth_boxes(person_set: PersonSet) -> list[ImageBoxes]:
    """The boxes of all persons of a set, score 1, by image; the boxes of an image in the set's order."""
    return [
        ImageBoxes(person_set.images[image_id], PersonBoxes.gathered([(person.box, 1.0) for person in persons]))
        for image_id, persons in person_set.by_image().items()
    ]


def detected_boxes(person_set: PersonSet, detections: Iterable[Detection]) -> list[ImageBoxes]:
    """Detections by image, each with its score, in the order given.

    Raises:
        UserError: a detection has no extent.
    """
    groups: dict[int, list[Detection]] = {}
    for detection in detections:
        if max(detection.box[2:]) <= 0:
            raise UserError(f"image {detection.image_id}: the detected box {list(detection.box)} has no extent")
        groups.setdefault(detection.image_id, []).append(detection)
    return [
        ImageBoxes(person_set.images[image_id], PersonBoxes.gathered([(each.box, each.score) for each in group]))
        for image_id, group in groups.items()
    ]


def predict_images(
    predictor: PosePredictor,
    images: Sequence[ImageBoxes],
    folder: str | Path,
    skipped: dict[int, str] | None = None,
    progress: bool = True,
    reading: ImageReading | None = None,
) -> Iterator[tuple[int, Poses]]:
    """Finds the poses in all boxes; every image is read once, ahead of the network and in other threads.

    Args:
        predictor: finds them.
        images: what to read and where to look.
        folder: of the image files.
        skipped: collects the faults of images that cannot be read, by image id; None means to stop at the first.
        progress: shows a progress bar, in images.
        reading: the frame to read the images in; counts those with an EXIF orientation.

    Yields:
        (image id, poses), in the order of the images, skipped ones left out.

    Raises:
        UserError: an image cannot be read and `skipped` is None.
    """
    reading = reading or ImageReading()

    def read(task: ImageBoxes) -> tuple[ImageBoxes, np.ndarray | UserError]:
        image = task.image
        try:
            path, size = os.path.join(folder, image.file_name), (image.height, image.width)
            return task, read_image(path, size, reading.orientation, reading.orientations)
        except UserError as error:
            return task, error

    def requests() -> Iterator[PredictionRequest]:
        for task, image in bounded_map(pool, read, images, READ_AHEAD):
            if isinstance(image, np.ndarray):
                yield PosePredictor.request(task.image.id, image, task.persons)
            elif skipped is None:
                raise UserError(f"{image}; repair it, or leave such images out with skip_damaged") from image
            else:
                skipped[task.image.id] = str(image)
                bar.update()

    pool = ThreadPoolExecutor(READERS)
    bar = tqdm.tqdm(desc="evaluating", total=len(images), unit=" images", disable=not progress)
    try:
        for image_id, poses in predictor.stream(requests()):
            bar.update()
            yield image_id, poses
    finally:
        bar.close()
        pool.shutdown(cancel_futures=True)


def example_poses(
    predictor: PosePredictor, persons: PersonSet, folder: str | Path, count: int, orientation: Orientation = "auto"
) -> Iterator[tuple[np.ndarray, Poses]]:
    """The poses found in the ground truth's boxes of a few images, to look at.

    Of the images in the annotations' order, those come first that show somebody of at least `SEEN_WELL`.

    Args:
        predictor: finds them.
        persons: the annotations.
        folder: of the image files.
        count: how many images.
        orientation: the frame to read them in.

    Yields:
        image [H, W, 3] uint8 RGB, and the poses in its pixels.

    Raises:
        UserError: an image cannot be read.
    """

    def nobody_is_seen_well(item: tuple[int, list[Person]]) -> bool:
        return max(person.box[3] for person in item[1]) < SEEN_WELL * persons.images[item[0]].height

    for image_id, group in sorted(persons.by_image().items(), key=nobody_is_seen_well)[:count]:
        record = persons.images[image_id]
        image = read_image(os.path.join(folder, record.file_name), (record.height, record.width), orientation)
        boxes = PersonBoxes.gathered([(person.box, 1.0) for person in group])
        yield image, next(predictor.stream([predictor.request(image_id, image, boxes)]))[1]
