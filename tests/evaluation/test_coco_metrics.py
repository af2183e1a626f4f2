import copy
import json
import math

import numpy as np
import pytest

from keras_simplepose.core.skeletons import COCO17, Skeleton
from keras_simplepose.data.coco import load_persons
from keras_simplepose.evaluation.coco_metrics import METRICS, keypoint_metrics
from keras_simplepose.utils.errors import UserError

THREE = Skeleton("three", ("head", "hand", "foot"), (), ((0, 1), (0, 2)), (0.05, 0.08, 0.1))
CATEGORY = 7


def person(annotation_id, image_id, x, **changes):
    """A person 60 pixels wide at x, of medium area, with three labelled keypoints."""
    keypoints = [x, 10, 2, x + 30, 40, 1, x + 60, 70, 2]
    entry = {"id": annotation_id, "image_id": image_id, "category_id": CATEGORY, "bbox": [x, 10, 60, 60]}
    return entry | {"area": 2500.0, "iscrowd": 0, "num_keypoints": 3, "keypoints": keypoints} | changes


def truth(*persons, images=(1, 2)):
    return {
        "images": [{"id": image, "file_name": f"{image}.jpg", "width": 2000, "height": 800} for image in images],
        "annotations": list(persons),
        "categories": [{"id": CATEGORY, "name": "person", "keypoints": list(THREE.keypoints)}],
    }


def found(entry, score=1.0, shift=0.0):
    points = np.reshape(entry["keypoints"], (-1, 3)) + [shift, 0, 0]
    return {
        "image_id": entry["image_id"],
        "category_id": CATEGORY,
        "keypoints": points.ravel().tolist(),
        "score": score,
    }


@pytest.fixture
def load(tmp_path):
    def load(ground_truth):
        (tmp_path / "truth.json").write_text(json.dumps(ground_truth))
        return load_persons(tmp_path / "truth.json", THREE)

    return load


@pytest.fixture
def measure(load):
    def measure(ground_truth, results, **options):
        return keypoint_metrics(load(ground_truth), results, THREE.sigmas, **options)

    return measure


def test_perfect_predictions_have_ap_1(measure):
    persons = [person(1, 1, 0), person(2, 1, 300), person(3, 2, 100), person(4, 2, 0, area=20000.0)]
    metrics = measure(truth(*persons), [found(each) for each in persons])
    assert metrics == pytest.approx(dict.fromkeys(METRICS, 1.0))


def test_half_of_the_persons_found_is_51_of_101_recall_points(measure):
    first, second = person(1, 1, 0), person(2, 1, 300)
    wrong = found(person(0, 1, 600), score=0.5)
    metrics = measure(truth(first, second), [found(first, score=0.9), wrong])
    assert metrics["AP"] == pytest.approx(51 / 101)
    assert metrics["AR"] == pytest.approx(0.5)


def test_a_false_alarm_above_the_truth_halves_precision(measure):
    first = person(1, 1, 0)
    metrics = measure(truth(first), [found(first, score=0.5), found(person(0, 1, 600), score=0.9)])
    assert metrics["AP"] == pytest.approx(0.5)


def test_oks_takes_the_skeletons_sigmas_and_the_labelled_keypoints(measure):
    points = [0, 10, 2, 500, 500, 0, 0, 0, 0]  # Only the first is labelled; its sigma is 0.05.
    entry = person(1, 1, 0, keypoints=points, num_keypoints=1)
    shift = math.sqrt(-2 * math.log(0.72) * 2500) * 2 * 0.05  # Makes OKS 0.72: above .5, .55, .6, .65 and .7.
    metrics = measure(truth(entry), [found(entry, shift=shift)])
    assert (metrics["AP"], metrics["AP50"], metrics["AP75"]) == pytest.approx((0.5, 1, 0))


def test_sizes_that_nobody_has_are_absent(measure):
    entry = person(1, 1, 0)
    assert set(METRICS) - set(measure(truth(entry), [found(entry)])) == {"APL", "ARL"}


def test_no_result_is_ap_0(measure):
    assert measure(truth(person(1, 1, 0)), [])["AP"] == 0


def test_crowds_and_unlabelled_persons_are_neither_missed_nor_false(measure):
    entry = person(1, 1, 0)
    crowd = {"id": 2, "image_id": 1, "category_id": CATEGORY, "bbox": [200, 0, 100, 100], "iscrowd": 1, "area": 9000.0}
    unlabelled = person(3, 2, 0, keypoints=[0] * 9, num_keypoints=0)
    in_crowd, on_unlabelled = found(person(0, 1, 220)), found(person(0, 2, 0))
    assert measure(truth(entry, crowd, unlabelled), [in_crowd, on_unlabelled, found(entry, 0.1)])[
        "AP"
    ] == pytest.approx(1)


def test_what_coco_states_is_worked_out_where_it_is_missing(measure):
    entry = person(1, 1, 0)
    bare = {key: value for key, value in entry.items() if key not in ("area", "iscrowd", "num_keypoints")}
    shifted = [found(entry, shift=4.0)]
    assert measure(truth(bare), shifted) == measure(truth(entry | {"area": 0.53 * 60 * 60}), shifted)


def test_only_the_chosen_images_and_persons_count(load):
    first, second, third = person(1, 1, 0), person(2, 1, 300), person(3, 2, 0)
    persons, results = load(truth(first, second, third)), [found(first), found(third)]
    assert keypoint_metrics(persons, results[:1], THREE.sigmas)["AR"] == pytest.approx(1 / 3)
    assert keypoint_metrics(persons, results, THREE.sigmas, image_ids=[1])["AR"] == pytest.approx(1 / 2)
    assert keypoint_metrics(persons.limited(1), results[:1], THREE.sigmas)["AR"] == 1


def test_other_categories_do_not_count(measure):
    entry = person(1, 1, 0)
    other = person(2, 1, 300, category_id=3)
    metrics = measure(truth(entry, other), [found(entry), found(other, score=2.0, shift=500.0) | {"category_id": 3}])
    assert metrics["AP"] == pytest.approx(1)


def test_it_neither_prints_nor_changes_its_arguments(measure, capsys):
    results = [found(person(1, 1, 0))]
    before = copy.deepcopy(results)
    measure(truth(person(1, 1, 0)), results)
    assert results == before
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("ground_truth", "result", "options", "named"),
    [
        (truth(person(1, 1, 0)), found(person(0, 9, 0)), {}, "result 1 is of image 9"),
        (truth(person(1, 1, 0)), found(person(0, 1, 0, keypoints=[1, 2, 3])), {}, "result 1 has 1 keypoints"),
        (truth(person(1, 1, 0)), found(person(0, 1, 0), score=math.nan), {}, "result 1 .* not finite"),
        (truth(), found(person(0, 1, 0)), {}, "labelled person of category 7 .0 persons"),
        (truth(person(1, 1, 0)), found(person(0, 1, 0)), {"image_ids": []}, "no image is left"),
    ],
)
def test_faults_are_named(measure, ground_truth, result, options, named):
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
    persons = load_persons(folder / ground_truth, COCO17)
    metrics = keypoint_metrics(persons, json.loads((folder / results).read_text()), COCO17.sigmas)
    assert {name: round(metrics[name], 4) for name in expected} == expected
    # Official files state every area, and no labelled person of theirs is lost to the boxes.
    assert not persons.notes and persons.left_out.keys() <= {"crowd", "no labelled keypoint"}


def permuted(values, random):
    """The same data with other numbers, in another order."""
    numbers = {image["id"]: int(number) for image, number in zip(values["images"], random.permutation(9), strict=False)}
    images = [image | {"id": numbers[image["id"]]} for image in values["images"]]
    entries = [entry | {"image_id": numbers[entry["image_id"]]} for entry in values["annotations"]]
    entries = [entries[place] | {"id": number} for number, place in enumerate(random.permutation(len(entries)))]
    random.shuffle(images)
    return values | {"images": images, "annotations": entries}, numbers


@pytest.mark.parametrize("seed", range(5))
def test_numbers_and_order_change_no_metric(measure, seed):
    """Ids from 0 on as well, and poses of equal scores."""
    random = np.random.default_rng(seed)
    persons = [person(number, 1 + number % 3, 100 * number) for number in range(1, 9)]
    values = truth(*persons, images=(1, 2, 3))
    # The worse a pose, the likelier a tie in scores decides whether it counts before or after a better one.
    results = [found(each, 0.5 + 0.1 * (each["id"] % 2), shift=5.0 * (each["id"] % 4)) for each in persons]
    expected = measure(values, results)
    assert 0 < expected["AP"] < 1
    other, numbers = permuted(values, random)
    moved = [result | {"image_id": numbers[result["image_id"]]} for result in results]
    random.shuffle(moved)
    assert measure(other, moved) == expected


def test_an_annotation_of_number_0_is_found(measure):
    entry = person(0, 1, 0)
    assert measure(truth(entry), [found(entry)])["AP"] == pytest.approx(1)


def test_image_numbers_beyond_64_bits_beside_small_ones(measure):
    """NumPy makes floats of such a mixture, and pycocotools then finds no image again."""
    first, second = person(1, 2**63 + 5, 0), person(2, 3, 300)
    metrics = measure(truth(first, second, images=(2**63 + 5, 3)), [found(first), found(second)])
    assert metrics["AP"] == pytest.approx(1)


@pytest.mark.parametrize("change", [{"num_keypoints": 3}, {"num_keypoints": 0}, {"num_keypoints": None}, {"area": 0}])
def test_what_a_record_says_of_itself_is_not_believed(measure, change):
    """Two persons found of three labelled ones, beside one without labels: recall 2/3 whatever the file states."""
    persons = [person(number, 1, 300 * number, **({} if number == 2 else change)) for number in (1, 2, 3)]
    unlabelled = person(4, 2, 0, keypoints=[0] * 9) | {"num_keypoints": 3}
    metrics = measure(truth(*persons, unlabelled), [found(persons[0]), found(persons[1])])
    assert metrics["AR"] == pytest.approx(2 / 3)


def test_nobody_is_missed_of_whom_no_crop_can_be_made(measure):
    entry, outside = person(1, 1, 0), person(2, 1, 0, bbox=[5000, 10, 60, 60])
    one_point = person(3, 1, 300, bbox=[300, 10, 0, 0], area=0, keypoints=[300, 10, 2] + [0] * 6, num_keypoints=1)
    metrics = measure(truth(entry, outside, one_point), [found(entry)])
    assert metrics["AP"] == pytest.approx(1) and metrics["AR"] == 1


def test_other_numbers_of_keypoints_are_refused(load):
    with pytest.raises(UserError, match="persons have 3 keypoints; 2 OKS constants"):
        keypoint_metrics(load(truth(person(1, 1, 0))), [], (0.1, 0.1))
