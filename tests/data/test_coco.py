import copy
import json

import numpy as np
import pytest

from keras_simplepose.core.skeletons import COCO17, MPII16
from keras_simplepose.data.coco import load_detections, load_persons
from keras_simplepose.utils.errors import UserError


def annotation(identifier, **changes):
    keypoints = [0, 0, 0] * 17
    keypoints[:6] = [12, 14, 2, 15.5, 16, 1]
    entry = {"id": identifier, "image_id": 1, "category_id": 1, "bbox": [10, 12, 20, 30], "area": 300.5}
    return entry | {"keypoints": keypoints, "iscrowd": 0} | changes


def file_of(*annotations, **changes):
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 80, "width": 100}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}],
        "annotations": list(annotations),
    } | changes


@pytest.fixture
def load(tmp_path):
    def load(values, skeleton=COCO17, **options):
        path = tmp_path / "annotations.json"
        path.write_text(values if isinstance(values, str) else json.dumps(values))
        return load_persons(path, skeleton, **options)

    return load


def test_person_is_read(load):
    (person,) = load(file_of(annotation(7))).persons
    assert (person.image_id, person.annotation_id, person.area) == (1, 7, 300.5)
    assert person.box == (10, 12, 19, 29)
    assert person.keypoints.shape == (17, 2) and person.keypoints.dtype == person.visible.dtype == np.float32
    np.testing.assert_array_equal(person.keypoints[:3], [[12, 14], [15.5, 16], [0, 0]])
    np.testing.assert_array_equal(person.visible[:3], [1, 1, 0])


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([-5, -7, 20, 30], (0, 0, 19, 29)),  # The release moves the near corner and keeps the size.
        ([90, 70, 40, 40], (90, 70, 9, 9)),
        ([0, 0, 100, 80], (0, 0, 99, 79)),
        ([5, 6, 0, 3], (5, 6, 0, 2)),
    ],
)
def test_boxes_are_clipped_by_the_rule(load, box, clipped):
    assert load(file_of(annotation(1, bbox=box))).persons[0].box == clipped


def test_what_the_rules_leave_out_is_counted(load):
    values = file_of(
        annotation(1),
        annotation(2, iscrowd=1),
        annotation(3, area=0),
        annotation(4, bbox=[100, 0, 5, 5]),
        annotation(5, bbox=[3, 3, 1, 1]),
        annotation(6, keypoints=[4, 4, 0] * 17),
    )
    persons = load(values)
    assert [person.annotation_id for person in persons.persons] == [1]
    assert persons.left_out == {
        "crowd": 1,
        "no area": 1,
        "outside the image": 1,
        "a box of one point": 1,
        "no labelled keypoint": 1,
    }
    assert [person.annotation_id for person in load(values, labelled_only=False).persons] == [1, 6]


def test_a_missing_area_is_estimated_from_the_box(load):
    entry = annotation(1)
    del entry["area"]
    assert load(file_of(entry)).persons[0].area == pytest.approx(0.53 * 20 * 30)


def test_category_is_found_by_keypoint_names_then_by_their_number(load):
    other = {"id": 5, "name": "figure", "keypoints": [f"joint{index}" for index in range(16)]}
    values = file_of(annotation(1), annotation(2, category_id=5, keypoints=[9, 9, 2] * 16))
    values["categories"].append(other)
    assert [person.annotation_id for person in load(values).persons] == [1]
    by_number = load(values, MPII16)
    assert by_number.category_id == 5 and [person.annotation_id for person in by_number.persons] == [2]


def test_persons_are_grouped_and_limited(load):
    values = file_of(annotation(3), annotation(1, image_id=2), annotation(2))
    values["images"].append({"id": 2, "file_name": "b.jpg", "height": 80, "width": 100})
    persons = load(values)
    grouped = {image: [person.annotation_id for person in group] for image, group in persons.by_image().items()}
    assert grouped == {1: [3, 2], 2: [1]}
    assert len(persons.limited(2).persons) == 2 and persons.limited(0) is persons


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda v: v.pop("images"), "images"),
        (lambda v: v.update(annotations={}), "annotations"),
        (lambda v: v["annotations"][0].pop("id"), "lacks 'id'"),
        (lambda v: v["annotations"][0].update(id="7"), "'7'"),
        (lambda v: v["annotations"][0].update(image_id=9), "annotation 7 belongs to image 9"),
        (lambda v: v["annotations"][0].pop("bbox"), "annotation 7 lacks 'bbox'"),
        (lambda v: v["annotations"][0].pop("keypoints"), "annotation 7 lacks 'keypoints'"),
        (lambda v: v["annotations"][0].update(keypoints=[1, 1, 1] * 16), "annotation 7.*48.*51"),
        (lambda v: v["annotations"][0].update(keypoints=[1, NAN, 1] * 17), "annotation 7.*NaN"),
        (lambda v: v["annotations"][0].update(keypoints=[1, "x", 1] * 17), "annotation 7"),
        (lambda v: v["annotations"][0].update(keypoints=[1, 1, -1] * 17), "annotation 7.*visibility"),
        (lambda v: v["annotations"][0].update(bbox=[1, 1, -2, 5]), "annotation 7.*negative"),
        (lambda v: v["annotations"][0].update(bbox=[NAN, 1, 2, 5]), "annotation 7.*bbox"),
        (lambda v: v["annotations"][0].update(bbox=[1, 1, 2]), "annotation 7.*bbox"),
        (lambda v: v["annotations"][0].update(area=INFINITY), "annotation 7.*area"),
        (lambda v: v["annotations"].append(v["annotations"][0]), "annotation 7 occurs twice"),
        (lambda v: v["annotations"].append(3), "annotation"),
        (lambda v: v["images"].append(v["images"][0]), "image 1 occurs twice"),
        (lambda v: v["images"][0].pop("height"), "image 1 lacks 'height'"),
        (lambda v: v["images"][0].update(width=0), "image 1.*width"),
        (lambda v: v["images"][0].update(file_name=None), "image 1.*file_name"),
        (lambda v: v["categories"].clear(), "17 keypoints"),
        (lambda v: v["categories"][0].update(keypoints=["a", "b"]), "person has 2"),
        (lambda v: v["categories"].append(dict(v["categories"][0], id=2)), "categories 1, 2"),
    ],
)
def test_faults_are_named(load, change, named):
    values = copy.deepcopy(file_of(annotation(7)))
    change(values)
    with pytest.raises(UserError, match=named) as caught:
        load(values)
    assert "annotations.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2", "[]", '{"images": 3}'])
def test_a_file_that_is_no_annotations_is_refused(load, text):
    with pytest.raises(UserError, match="annotations.json"):
        load(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json"):
        load_persons(tmp_path / "absent.json", COCO17)


def detection(**changes):
    return {"image_id": 1, "category_id": 1, "bbox": [-3, 2, 400, 5], "score": 0.5} | changes


def test_detections_are_not_clipped_and_of_the_category_only(load, tmp_path):
    path = tmp_path / "detections.json"
    path.write_text(json.dumps([detection(), detection(category_id=3, image_id=77)]))
    (found,) = load_detections(path, load(file_of(annotation(7))))
    assert (found.image_id, found.box, found.score) == (1, (-3, 2, 400, 5), 0.5)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "not COCO detection results"),
        ([3], "detection 0"),
        ([detection(), detection(image_id=2)], "detection 1 is of image 2"),
        ([detection(score=NAN)], "detection 0.*score"),
        ([detection(bbox=[0, 0, 5, -1])], "detection 0.*negative"),
        ([{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}], "lacks 'score'"),
    ],
)
def test_faulty_detections_are_named(load, tmp_path, values, named):
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=named) as caught:
        load_detections(path, load(file_of(annotation(7))))
    assert "detections.json" in str(caught.value)


def test_real_annotations(shared_data):
    val = load_persons(shared_data / "annotations" / "person_keypoints_val.json", COCO17)
    assert (len(val.persons), len(val.images), val.left_out["crowd"]) == (323, 120, 6)
    train = load_persons(shared_data / "annotations" / "person_keypoints_train.json", COCO17)
    assert (len(train.persons), len(train.images)) == (5402, 2000)
