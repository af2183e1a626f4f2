import copy
import json
import math

import numpy as np
import pytest

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.evaluation.coco_metrics import METRICS, keypoint_metrics
from keras_simplepose.utils.errors import UserError

SIGMAS = (0.05, 0.08, 0.1)  # Of a skeleton with three keypoints.
CATEGORY = 7


def person(annotation_id, image_id, x, **changes):
    """A person 60 pixels wide at x, of medium area, with three labelled keypoints."""
    keypoints = [x, 10, 2, x + 30, 40, 1, x + 60, 70, 2]
    entry = {"id": annotation_id, "image_id": image_id, "category_id": CATEGORY, "bbox": [x, 10, 60, 60]}
    return entry | {"area": 2500.0, "iscrowd": 0, "num_keypoints": 3, "keypoints": keypoints} | changes


def truth(*persons, images=(1, 2)):
    return {
        "images": [{"id": image} for image in images],
        "annotations": list(persons),
        "categories": [{"id": CATEGORY, "name": "person"}],
    }


def found(entry, score=1.0, shift=0.0):
    points = np.reshape(entry["keypoints"], (-1, 3)) + [shift, 0, 0]
    return {
        "image_id": entry["image_id"],
        "category_id": CATEGORY,
        "keypoints": points.ravel().tolist(),
        "score": score,
    }


def measure(ground_truth, results, **options):
    return keypoint_metrics(ground_truth, results, SIGMAS, CATEGORY, **options)


def test_perfect_predictions_have_ap_1():
    persons = [person(1, 1, 0), person(2, 1, 300), person(3, 2, 100), person(4, 2, 0, area=20000.0)]
    metrics = measure(truth(*persons), [found(each) for each in persons])
    assert metrics == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_half_of_the_persons_found_is_51_of_101_recall_points():
    first, second = person(1, 1, 0), person(2, 1, 300)
    wrong = found(person(0, 1, 600), score=0.5)
    metrics = measure(truth(first, second), [found(first, score=0.9), wrong])
    assert metrics["AP"] == pytest.approx(51 / 101)
    assert metrics["AR"] == pytest.approx(0.5)


def test_a_false_alarm_above_the_truth_halves_precision():
    first = person(1, 1, 0)
    metrics = measure(truth(first), [found(first, score=0.5), found(person(0, 1, 600), score=0.9)])
    assert metrics["AP"] == pytest.approx(0.5)


def test_oks_takes_the_skeletons_sigmas_and_the_labelled_keypoints():
    points = [0, 10, 2, 500, 500, 0, 0, 0, 0]  # Only the first is labelled; its sigma is 0.05.
    entry = person(1, 1, 0, keypoints=points, num_keypoints=1)
    shift = math.sqrt(-2 * math.log(0.72) * 2500) * 2 * 0.05  # Makes OKS 0.72: above .5, .55, .6, .65 and .7.
    metrics = measure(truth(entry), [found(entry, shift=shift)])
    assert (metrics["AP"], metrics["AP50"], metrics["AP75"]) == pytest.approx((0.5, 1, 0))


def test_sizes_that_nobody_has_are_absent():
    entry = person(1, 1, 0)
    assert set(METRICS) - set(measure(truth(entry), [found(entry)])) == {"APL", "ARL"}


def test_no_result_is_ap_0():
    assert measure(truth(person(1, 1, 0)), [])["AP"] == 0


def test_crowds_and_unlabelled_persons_are_neither_missed_nor_false():
    entry = person(1, 1, 0)
    crowd = {"id": 2, "image_id": 1, "category_id": CATEGORY, "bbox": [200, 0, 100, 100], "iscrowd": 1, "area": 9000.0}
    unlabelled = person(3, 2, 0, keypoints=[0] * 9, num_keypoints=0)
    in_crowd, on_unlabelled = found(person(0, 1, 220)), found(person(0, 2, 0))
    assert measure(truth(entry, crowd, unlabelled), [in_crowd, on_unlabelled, found(entry, 0.1)])[
        "AP"
    ] == pytest.approx(1)


def test_what_coco_states_is_worked_out_where_it_is_missing():
    entry = person(1, 1, 0)
    bare = {key: value for key, value in entry.items() if key not in ("area", "iscrowd", "num_keypoints")}
    shifted = [found(entry, shift=4.0)]
    assert measure(truth(bare), shifted) == measure(truth(entry | {"area": 0.53 * 60 * 60}), shifted)


def test_only_the_chosen_images_and_persons_count():
    first, second, third = person(1, 1, 0), person(2, 1, 300), person(3, 2, 0)
    ground_truth, results = truth(first, second, third), [found(first)]
    assert measure(ground_truth, results)["AR"] == pytest.approx(1 / 3)
    assert measure(ground_truth, results, image_ids=[1])["AR"] == pytest.approx(1 / 2)
    assert measure(ground_truth, results, image_ids=[1], set_aside=[2])["AR"] == 1


def test_other_categories_do_not_count():
    entry = person(1, 1, 0)
    other = person(2, 1, 300, category_id=3)
    metrics = measure(truth(entry, other), [found(entry), found(other, score=2.0, shift=500.0) | {"category_id": 3}])
    assert metrics["AP"] == pytest.approx(1)


def test_it_neither_prints_nor_changes_its_arguments(capsys):
    entry = person(1, 1, 0)
    ground_truth, results = truth(entry), [found(entry)]
    before = copy.deepcopy((ground_truth, results))
    measure(ground_truth, results)
    assert (ground_truth, results) == before
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("ground_truth", "result", "options", "named"),
    [
        (truth(person(1, 1, 0)), found(person(0, 9, 0)), {}, "result 1 is of image 9"),
        (truth(person(1, 1, 0)), found(person(0, 1, 0, keypoints=[1, 2, 3])), {}, "result 1 has 1 keypoints"),
        (truth(person(1, 1, 0)), found(person(0, 1, 0), score=math.nan), {}, "result 1 .* not finite"),
        (truth(person(5, 1, 0, keypoints=[1, 2, 2])), found(person(0, 1, 0)), {}, "annotation 5 has 1 keypoints"),
        (truth(), found(person(0, 1, 0)), {}, "labelled person"),
        (truth(person(1, 1, 0)), found(person(0, 1, 0)), {"image_ids": []}, "no image is left"),
    ],
)
def test_faults_are_named(ground_truth, result, options, named):
    with pytest.raises(UserError, match=named):
        measure(ground_truth, [result], **options)


@pytest.mark.parametrize(
    ("ground_truth", "results", "expected"),
    [
        (
            "val_subset.json",
            "detections.json",
            {"AP": 0.3785, "AP50": 0.5929, "AP75": 0.3947, "APM": 0.3210, "APL": 0.4647, "AR": 0.4228},
        ),
        (
            "example_coco_val.json",
            "example_coco_preds.json",
            {"AP": 0.8609, "AP50": 0.9931, "AP75": 0.9109, "APM": 0.7756, "APL": 0.9373, "AR": 0.8750},
        ),
        (
            "faster_coco_eval_keypoints/gt_dataset.json",
            "faster_coco_eval_keypoints/dt_dataset.json",
            {"AP": 0.5049, "AP50": 0.7228, "AP75": 0.6337, "APM": 0.4663, "APL": 0.7505, "AR": 0.5182},
        ),
    ],
)
def test_published_figures_are_reproduced(shared_data, ground_truth, results, expected):
    folder = shared_data / "eval_checks"
    metrics = keypoint_metrics(folder / ground_truth, json.loads((folder / results).read_text()), COCO17.sigmas)
    assert {name: round(metrics[name], 4) for name in expected} == expected
