"""How good persons' boxes are: COCO AP by pycocotools, and what is found and made up at each threshold."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask
from pycocotools.cocoeval import COCOeval

from keras_simplepose.data.persons import PERSON_CATEGORY, Detection, PersonSet, whole_box
from keras_simplepose.evaluation.coco_metrics import coco_index

OVERLAP = 0.5  # IoU from which on a detection counts as the person's.
LEAST_SIZE = 64  # Pixels of a person's longer side from which on recall is reported.
FALSE_BOXES = 1.0  # A photograph, at which recall is reported.
METRICS = ("AP", "AP50", "AP75", "APS", "APM", "APL")  # The first of COCOeval's box statistics.


class OperatingPoint(NamedTuple):
    """What is found and made up at one threshold.

    Attributes:
        recall: share found of the persons of at least `LEAST_SIZE`.
        recall_all: of all persons.
        false_boxes: a photograph.
    """

    recall: float
    recall_all: float
    false_boxes: float


@dataclass(frozen=True)
class RecallCurve:
    """What is found and made up, as the threshold falls.

    Attributes:
        scores: [N] of the detections, best first.
        found: [N] persons of at least `LEAST_SIZE` found by the detections up to each.
        found_all: [N] the same of all persons.
        false: [N] false boxes among them: those on no person, or on one found already, and outside ignored regions.
        persons: of at least `LEAST_SIZE` there are.
        persons_all: there are of any size.
        images: there are.
    """

    scores: np.ndarray
    found: np.ndarray
    found_all: np.ndarray
    false: np.ndarray
    persons: int
    persons_all: int
    images: int

    def at(self, threshold: float) -> OperatingPoint:
        """Recall, and false boxes a photograph, of the detections of at least that score."""
        last = int((self.scores >= threshold).sum()) - 1
        if last < 0:
            return OperatingPoint(0.0, 0.0, 0.0)
        return OperatingPoint(
            float(self.found[last] / max(1, self.persons)),
            float(self.found_all[last] / max(1, self.persons_all)),
            float(self.false[last] / self.images),
        )

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
    groups, false = persons.by_image(), np.ones(len(best_first), int)
    found, found_all = np.zeros((2, len(best_first)), int)
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
                found[place], found_all[place], false[place] = max(truth[person][2:]) >= LEAST_SIZE, 1, 0
            elif others and on_ignored[row].max() >= OVERLAP:
                false[place] = 0
    total = sum(max(whole_box(person.box)[2:]) >= LEAST_SIZE for person in persons.persons)
    scores = np.array([each.score for each in best_first])
    counts = (found.cumsum(), found_all.cumsum(), false.cumsum())
    return RecallCurve(scores, *counts, total, len(persons.persons), len(persons.images))


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


def describe(persons: PersonSet, detections: Sequence[Detection]) -> str:
    """Box AP, and recall and false boxes of all detections and at `FALSE_BOXES`, as lines of text."""
    values, curve = box_average_precision(persons, detections), recall_curve(persons, detections)
    precision = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
    lines = [f"box {precision}" if values else "box AP: there is nothing to find"]
    lowest = float(curve.scores[-1]) if len(curve.scores) else 1.0
    wanted = curve.threshold(FALSE_BOXES)
    for threshold in (lowest, wanted) if lowest < wanted <= 1 else (lowest,):
        point = curve.at(threshold)
        lines.append(
            f"from score {threshold:.3f} on: {point.false_boxes:.2f} false boxes a photograph; recall at IoU "
            f"{OVERLAP:g}: {point.recall_all:.3f} of all {curve.persons_all} persons, {point.recall:.3f} of the "
            f"{curve.persons} of at least {LEAST_SIZE} pixels"
        )
    return "\n".join(lines)
