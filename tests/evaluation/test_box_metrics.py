"""Measures of persons' boxes."""

import json

import numpy as np
import pytest

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.persons import Detection, Ignored, ImageRecord, Person, PersonSet
from keras_simplepose.evaluation.box_metrics import box_average_precision, recall_curve

NOWHERE = np.zeros((17, 2), np.float32), np.zeros(17, np.float32)


def person_set(boxes, crowds=()):
    """Boxes (image, x, y, width, height) as annotated; two images."""
    persons = tuple(
        Person(image, place, (x, y, width - 1, height - 1), *NOWHERE, width * height / 2)
        for place, (image, x, y, width, height) in enumerate(boxes, start=1)
    )
    ignored = tuple(
        Ignored(image, 50 + place, (x, y, width, height), *NOWHERE, 1.0, True)
        for place, (image, x, y, width, height) in enumerate(crowds)
    )
    images = {number: ImageRecord(number, f"{number}.jpg", 400, 600) for number in (7, 3)}
    return PersonSet("persons.json", images, persons, 1, ignored=ignored)


PEOPLE = [(7, 10, 10, 100, 200), (7, 300, 10, 80, 150), (3, 50, 50, 70, 90), (3, 400, 300, 20, 30)]


def test_the_curve_counts_what_is_found_and_what_is_made_up():
    detections = [
        Detection(7, (10, 10, 100, 200), 0.9),
        Detection(7, (12, 12, 100, 200), 0.8),  # Found already.
        Detection(3, (400, 300, 20, 30), 0.7),  # A small person: neither counted nor false.
        Detection(3, (500, 20, 40, 40), 0.6),  # In a crowd.
        Detection(3, (50, 50, 70, 90), 0.5),
        Detection(3, (200, 200, 60, 60), 0.4),  # Nobody.
    ]
    curve = recall_curve(person_set(PEOPLE, [(3, 450, 0, 150, 150)]), detections)
    assert curve.found.tolist() == [1, 1, 1, 1, 2, 2] and curve.found_all.tolist() == [1, 1, 2, 2, 3, 3]
    assert curve.false.tolist() == [0, 1, 1, 1, 1, 2]
    assert (curve.persons, curve.persons_all, curve.images) == (3, 4, 2)
    assert curve.at(0.5) == (2 / 3, 3 / 4, 0.5) and curve.at(0.95) == (0, 0, 0)
    assert curve.threshold(0.5) == 0.5 and curve.threshold(1) == 0.4 and curve.threshold(0) == 0.9


def test_without_detections_nothing_is_found():
    curve = recall_curve(person_set(PEOPLE), [])
    assert curve.at(0.1) == (0, 0, 0) and curve.threshold(1) > 1


def test_average_precision_is_known():
    people = person_set(PEOPLE)
    right = [Detection(image, box, 0.9) for image, *box in PEOPLE]
    assert box_average_precision(people, right)["AP"] == pytest.approx(1)
    half = box_average_precision(people, right[:2] + [Detection(3, (200, 200, 60, 60), 0.95)])
    assert half["AP50"] == pytest.approx(0.34, abs=0.01)  # Half of them at a precision of 2/3.


def test_average_precision_is_pycocotools(shared_data):
    """With the annotation file read by pycocotools itself; its boxes are not clipped, so the last digits may differ."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    path = shared_data / "annotations/person_keypoints_val.json"
    random = np.random.default_rng(0)
    results = []
    for entry in json.loads(path.read_text())["annotations"]:
        size = np.array(entry["bbox"][2:] * 2)
        box = np.array(entry["bbox"]) + size * random.uniform(-0.15, 0.15, 4)
        results.append(
            {"image_id": entry["image_id"], "category_id": 1, "bbox": box.tolist(), "score": random.random()}
        )
    truth = COCO(str(path))
    evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    persons = load_persons(path, COCO17, labelled_only=False)
    found = box_average_precision(
        persons, [Detection(each["image_id"], tuple(each["bbox"]), each["score"]) for each in results]
    )
    assert 0.2 < found["AP"] < 0.9
    np.testing.assert_allclose(list(found.values()), evaluation.stats[:6], atol=0.004)
