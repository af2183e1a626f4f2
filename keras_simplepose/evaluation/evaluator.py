"""Evaluation: every person of an annotated set predicted once, duplicates suppressed, the metric measured."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.persons import Detection, PersonSet
from keras_simplepose.evaluation.coco_metrics import keypoint_metrics
from keras_simplepose.evaluation.pckh import pckh, read_head_boxes
from keras_simplepose.media.orientation import ImageReading, Orientation
from keras_simplepose.prediction.data_set import ImageBoxes, detected_boxes, ground_truth_boxes, predict_images
from keras_simplepose.prediction.pose_files import coco_results
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.prediction.suppression import suppress
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.workers import Workers


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found.

    Attributes:
        metrics: by name, as `coco_metrics.keypoint_metrics` (in [0, 1]) or `pckh.pckh` (in per cent) gives them.
        results: COCO keypoint results, after suppression, in the order of the images.
        counts: of images, boxes, poses and whatever was left out.
        skipped: the fault of every damaged image that was left out; its persons are not in the metrics.
        orientation_warning: a line about images that carry an EXIF orientation; "" if none do.
        skipped_images: the ids of the images in `skipped`.
    """

    metrics: dict[str, float]
    results: list[dict[str, Any]]
    counts: dict[str, int]
    skipped: tuple[str, ...] = ()
    orientation_warning: str = ""
    skipped_images: tuple[int, ...] = ()


def evaluate_predictor(
    predictor: PosePredictor,
    person_set: PersonSet,
    images_folder: str | Path,
    detections: Iterable[Detection] | None = None,
    config: EvaluationConfig | None = None,
    *,
    minimum_box_score: float = -math.inf,
    progress: bool = True,
    skip_damaged: bool = False,
    orientation: Orientation = "auto",
    workers: Workers | None = None,
) -> EvaluationResult:
    """Measures the OKS AP of a predictor.

    Args:
        predictor: whose flip test and keypoint threshold are its own.
        person_set: the ground truth; where it is `limited`, the rest of the persons does not count.
        images_folder: folder of the images.
        detections: boxes of a detector. None means the ground truth's own boxes of its labelled persons, an easier
            protocol: about 2 AP more.
        config: protocol of suppression; None means the predictor's.
        minimum_box_score: detections below it are left out, and counted.
        progress: shows a progress bar.
        skip_damaged: leaves out images that cannot be read, from the metrics as well, and lists them.
        orientation: the frame to read images in, as `media.images.read_image`.
        workers: the processes to share the images out among, all of which must call this alike; None: this one does
            all. Each gets the whole result.

    Raises:
        UserError: an image cannot be read, the skeletons differ, or there is nobody to evaluate.
    """
    config, workers = config or predictor.config, workers or Workers()
    _check(predictor.spec, person_set)
    given = None if detections is None else list(detections)
    strong = [detection for detection in given or () if detection.score >= minimum_box_score]
    boxes = ground_truth_boxes(person_set) if given is None else detected_boxes(person_set, strong)

    def find() -> _Found:
        """In this worker's share of the images."""
        share, found = workers.share(boxes), _Found({}, 0, {}, ImageReading(orientation))
        skipped = found.skipped if skip_damaged else None
        for image_id, poses in predict_images(predictor, share, images_folder, skipped, progress, found.reading):
            kept, scores = suppress(poses, predictor.spec, config)
            found.results[image_id] = coco_results(image_id, person_set.category_id, poses, kept, scores)
            found.poses += len(poses)
        return found

    found = _merged(workers.everywhere(find), boxes)
    results, poses_found, skipped, reading = found.in_one_list(), found.poses, found.skipped, found.reading
    evaluated = person_set.images.keys() - skipped.keys()

    def measure() -> dict[str, float]:
        return keypoint_metrics(person_set, results, predictor.spec.skeleton.sigmas, evaluated)

    # The chief alone, so that the workers decide alike by it, whatever their processors make of a sum.
    (metrics, *_) = workers.everywhere(lambda: measure() if workers.is_chief else {})
    counts = _counts(person_set, boxes, skipped) | {
        "boxes_below_minimum_score": len(given or ()) - len(strong),
        "poses_predicted": poses_found,
        "poses_suppressed": poses_found - len(results),
    }
    return EvaluationResult(metrics, results, counts, tuple(skipped.values()), reading.warning(), tuple(skipped))


@dataclass
class _Found:
    """What was found in some of the images.

    Attributes:
        results: COCO results by image id.
        poses: before suppression.
        skipped: faults of damaged images, by image id.
        reading: counts images with an EXIF orientation.
    """

    results: dict[int, list[dict[str, Any]]]
    poses: int
    skipped: dict[int, str]
    reading: ImageReading

    def in_one_list(self) -> list[dict[str, Any]]:
        """The results, image after image."""
        return [result for results in self.results.values() for result in results]


def _merged(parts: Sequence[_Found], boxes: Sequence[ImageBoxes]) -> _Found:
    """What all parts found, in the order of the images."""
    if len(parts) == 1:
        return parts[0]
    reading = parts[0].reading
    for part in parts[1:]:
        reading.orientations.merge(part.reading.orientations)
    ids = [task.image.id for task in boxes]
    results, skipped = (
        {key: value for part in parts for key, value in getattr(part, name).items()} for name in ("results", "skipped")
    )
    return _Found(
        {image_id: results[image_id] for image_id in ids if image_id in results},
        sum(part.poses for part in parts),
        {image_id: skipped[image_id] for image_id in ids if image_id in skipped},
        reading,
    )


def evaluate_pckh(
    predictor: PosePredictor,
    person_set: PersonSet,
    images_folder: str | Path,
    head_boxes: str | Path = "",
    *,
    progress: bool = True,
    skip_damaged: bool = False,
    orientation: Orientation = "auto",
) -> EvaluationResult:
    """Measures PCKh in the ground truth's boxes. Nothing is suppressed: every person has one pose.

    `head_boxes` is as `pckh.read_head_boxes` takes it; the other arguments and errors as `evaluate_predictor`.
    """
    _check(predictor.spec, person_set)
    boxes = ground_truth_boxes(person_set)
    skipped: dict[int, str] = {}
    persons = person_set.by_image()
    # Before the work, which may be long: annotations without head boxes stop it.
    ids = [person.annotation_id for person in person_set.persons]
    heads = dict(zip(ids, read_head_boxes(head_boxes or person_set.path, ids), strict=True))
    results, shown, predictions = [], [], []
    reading = ImageReading(orientation)
    found = predict_images(predictor, boxes, images_folder, skipped if skip_damaged else None, progress, reading)
    for image_id, poses in found:
        results += coco_results(image_id, person_set.category_id, poses, np.arange(len(poses)), poses.scores)
        shown += persons[image_id]
        predictions.append(poses.keypoints[..., :2])
    if not shown:
        raise UserError(f"{person_set.path}: none of the images could be read")
    metrics = pckh(
        np.concatenate(predictions),
        np.stack([person.keypoints for person in shown]),
        np.stack([person.visible for person in shown]),
        np.stack([heads[person.annotation_id] for person in shown]),
        predictor.spec.skeleton,
    )
    return EvaluationResult(
        metrics,
        results,
        _counts(person_set, boxes, skipped),
        tuple(skipped.values()),
        reading.warning(),
        tuple(skipped),
    )


def _check(spec: PoseSpec, person_set: PersonSet) -> None:
    if not person_set.persons:
        raise UserError(f"{person_set.path}: no labelled person to evaluate ({person_set.summary()})")
    count, there = len(spec.skeleton.keypoints), len(person_set.persons[0].keypoints)
    if count != there:
        raise UserError(
            f"{person_set.path}: persons have {there} keypoints; the model finds the {count} of {spec.skeleton.name}"
        )


def _counts(person_set: PersonSet, boxes: Sequence[ImageBoxes], skipped: Mapping[int, str]) -> dict[str, int]:
    return {
        "images": len(person_set.images) - len(skipped),
        "images_skipped": len(skipped),
        "images_read": sum(task.image.id not in skipped for task in boxes),
        "persons": sum(person.image_id not in skipped for person in person_set.persons),
        "persons_skipped": sum(person.image_id in skipped for person in person_set.persons),
        "boxes": sum(len(task.persons) for task in boxes),
        "boxes_skipped": sum(len(task.persons) for task in boxes if task.image.id in skipped),
    }
