"""How good persons' boxes are: COCO AP by pycocotools, and what is found and made up at each threshold."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from keras_simplepose.data.persons import PERSON_CATEGORY, Detection, PersonSet, whole_box
from keras_simplepose.evaluation.coco_metrics import coco_index

OVERLAP = 0.5  # IoU from which on a detection counts as the person's.
LEAST_SIZE = 64  # Pixels of a person's longer side from which on recall is reported.
METRICS = ("AP", "AP50", "AP75", "APS", "APM", "APL")  # The first of COCOeval's box statistics.


@dataclass(frozen=True)
class RecallCurve:
    """What is found and made up, as the threshold falls.

    Attributes:
        scores: [N] of the detections, best first.
        found: [N] persons of at least `LEAST_SIZE` found by the detections up to each.
        false: [N] false boxes among them: those on no person, or on one found already, and outside ignored regions.
        persons: of at least `LEAST_SIZE` there are.
        images: there are.
    """

    scores: np.ndarray
    found: np.ndarray
    false: np.ndarray
    persons: int
    images: int

    def at(self, threshold: float) -> tuple[float, float]:
        """Recall, and false boxes a photograph, of the detections of at least that score."""
        count = int((self.scores >= threshold).sum())
        if not count:
            return 0.0, 0.0
        return self.found[count - 1] / max(1, self.persons), self.false[count - 1] / self.images

    def threshold(self, false_boxes: float) -> float:
        """The lowest threshold with no more than so many false boxes a photograph; more than 1 if there is none."""
        allowed = self.false <= false_boxes * self.images
        # Detections of one score stand or fall together.
        last = np.append(self.scores[1:] != self.scores[:-1], True)
        usable = np.flatnonzero(allowed & last)
        return float(self.scores[usable[-1]]) if len(usable) else 2.0


def recall_curve(persons: PersonSet, detections: Sequence[Detection]) -> RecallCurve:
    """Matches detections to persons: best first, each to the free person it overlaps most, from `OVERLAP` on.

    A detection of an ignored annotation (a crowd, which half of it lies in, or one that it overlaps like a person) is
    neither right nor false.
    """
    by_image: dict[int, list[int]] = {}
    best_first = sorted(detections, key=lambda each: -each.score)
    for place, each in enumerate(best_first):
        by_image.setdefault(each.image_id, []).append(place)
    ignored: dict[int, list[Any]] = {}
    for other in persons.ignored:
        ignored.setdefault(other.image_id, []).append(other)
    groups, found, false = persons.by_image(), np.zeros(len(best_first), int), np.ones(len(best_first), int)
    for image_id, places in by_image.items():
        boxes = np.array([best_first[place].box for place in places], np.float64).reshape(-1, 4)
        truth = [whole_box(person.box) for person in groups.get(image_id, ())]
        ious = _ious(boxes, truth, [False] * len(truth))
        others = ignored.get(image_id, [])
        on_ignored = _ious(boxes, [other.box for other in others], [other.crowd for other in others])
        taken = np.zeros(len(truth), bool)
        for row, place in enumerate(places):
            free = np.where(taken, 0, ious[row]) if truth else np.zeros(1)
            if free.max() >= OVERLAP:
                person = int(free.argmax())
                taken[person] = True
                found[place], false[place] = max(truth[person][2:]) >= LEAST_SIZE, 0
            elif others and on_ignored[row].max() >= OVERLAP:
                false[place] = 0
    total = sum(max(whole_box(person.box)[2:]) >= LEAST_SIZE for person in persons.persons)
    scores = np.array([each.score for each in best_first])
    return RecallCurve(scores, found.cumsum(), false.cumsum(), total, len(persons.images))


def _ious(boxes: np.ndarray, truth: Sequence[Any], crowds: Sequence[bool]) -> np.ndarray:
    """[D, T]: IoU, or the share of a detection that lies in it for a crowd, as COCO has it."""
    if not len(truth):
        return np.zeros((len(boxes), 0))
    return np.asarray(mask.iou(boxes, np.array(truth, np.float64), [int(crowd) for crowd in crowds]))


def box_average_precision(persons: PersonSet, detections: Sequence[Detection]) -> dict[str, float]:
    """COCO's AP of the boxes of persons.

    Args:
        persons: the ground truth, persons without labelled keypoints too; what it ignores is ignored.
        detections: of its images.

    Returns:
        AP, AP50, AP75, APS, APM, APL in [0, 1], without those of a size that no person has.
    """
    numbers = {image_id: place for place, image_id in enumerate(persons.images, start=1)}
    entries = [(person.image_id, whole_box(person.box), person.area, 0) for person in persons.persons]
    # COCOeval ignores crowds, and nothing else that it can be told.
    entries += [(other.image_id, other.box, other.area, 1) for other in persons.ignored]
    truth = [
        _entry(place, numbers[image_id], box, area) | {"iscrowd": crowd}
        for place, (image_id, box, area, crowd) in enumerate(entries, start=1)
    ]
    results = [
        _entry(place, numbers[each.image_id], each.box, each.box[2] * each.box[3]) | {"score": each.score, "iscrowd": 0}
        for place, each in enumerate(detections, start=1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress, and cannot be told not to.
        evaluation = COCOeval(coco_index(numbers, truth), coco_index(numbers, results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    named = zip(METRICS, evaluation.stats[: len(METRICS)], strict=True)
    return {name: float(value) for name, value in named if value >= 0}


def _entry(number: int, image: int, box: Sequence[float], area: float) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": PERSON_CATEGORY, "bbox": list(box), "area": area}
