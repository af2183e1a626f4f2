import copy
import json

import numpy as np
import pytest

from keras_simplepose.core.skeletons import COCO17, MPII16
from keras_simplepose.data.coco import load_detections, load_persons, read_detections
from keras_simplepose.media.images import encode_jpeg
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
    np.testing.assert_array_equal(person.visible[:3], [2, 1, 0])


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
        annotation(3, area=0, bbox=[10, 12, 0, 30]),
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
    assert [each.annotation_id for each in persons.ignored] == [2, 3, 4, 5, 6]
    assert [each.crowd for each in persons.ignored] == [True, False, False, False, False]
    assert persons.summary() == (
        "1 person; 1 left out (crowd); 1 left out (no area); 1 left out (outside the image); "
        "1 left out (a box of one point); 1 left out (no labelled keypoint)"
    )


@pytest.mark.parametrize("area", ["absent", None, 0, -3.0])
def test_an_area_that_is_not_known_is_estimated_from_the_box(load, area):
    entry = annotation(1, area=area)
    if area == "absent":
        del entry["area"]
    persons = load(file_of(entry, annotation(2)))
    assert [person.area for person in persons.persons] == pytest.approx([0.53 * 20 * 30, 300.5])
    assert persons.summary() == "2 persons; 1 areas estimated from boxes"


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
        (
            lambda v: v["annotations"].append(v["annotations"][0] | {"area": 9}),
            "annotation 7 occurs twice, with 'area' 300.5 and 9",
        ),
        (lambda v: v["annotations"].append(3), "annotation"),
        (
            lambda v: v["images"].append(v["images"][0] | {"file_name": "b.jpg"}),
            "image 1 occurs twice, with 'file_name' 'a.jpg' and 'b.jpg'",
        ),
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


def test_detections_of_another_category_are_no_silence(load, tmp_path):
    path = tmp_path / "detections.json"
    path.write_text(json.dumps([detection(category_id=0)] * 31))
    with pytest.raises(UserError, match="none of 31 detections has category 1; they have 0$"):
        load_detections(path, load(file_of(annotation(7))))
    path.write_text(json.dumps([detection(), *[detection(category_id=2)] * 3]))
    notes = {}
    assert len(load_detections(path, load(file_of(annotation(7))), notes)) == 1
    assert notes == {"boxes of other categories left out": 3}


def test_cocos_persons_are_those_of_the_only_category(load, tmp_path):
    path = tmp_path / "detections.json"
    path.write_text(json.dumps([detection()] * 2))
    values = file_of(annotation(7, category_id=0))
    values["categories"][0]["id"] = 0
    notes = {}
    assert len(load_detections(path, load(values), notes)) == 2
    assert notes == {"boxes of category 1 taken as 0": 2}
    values["categories"].append({"id": 1, "name": "kite"})
    with pytest.raises(UserError, match="none of 2 detections has category 0; they have 1"):
        load_detections(path, load(values))


def test_the_category_of_detections_alone_is_their_own(tmp_path):
    path = tmp_path / "detections.json"
    path.write_text(json.dumps([detection(category_id=0)]))
    assert len(read_detections(path)) == 1
    path.write_text(json.dumps([detection(category_id=0), detection(), detection()]))
    assert list(read_detections(path)) == [1, 2]  # Of several, COCO's persons.
    path.write_text("[]")
    assert read_detections(path) == {}


def test_foreign_annotations_are_counted(load):
    values = file_of(annotation(1), annotation(2, category_id=7), annotation(3, category_id=9))
    values["categories"].append({"id": 9, "name": "kite"})
    assert load(values).left_out == {
        "of a category that the file does not list": 1,
        "of another category": 1,
    }


def test_the_same_record_again_changes_nothing(load):
    values = file_of(annotation(1), annotation(2), annotation(1))
    values["images"] *= 3
    persons = load(values)
    assert [person.annotation_id for person in persons.persons] == [1, 2] and len(persons.images) == 1
    assert persons.notes == {"image records that occur again": 2, "annotation records that occur again": 1}


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"iscrowd": None}, "iscrowd that are null, taken as 0"),
        ({"iscrowd": False}, None),
        ({"num_keypoints": 17}, "num_keypoints that are not the number of labelled keypoints"),
        ({"num_keypoints": [2]}, "num_keypoints that are not the number of labelled keypoints"),
        ({"num_keypoints": 2}, None),
        ({"num_keypoints": None}, None),
        ({"id": 1.0, "image_id": 1.0, "category_id": 1.0}, None),
    ],
)
def test_optional_fields_have_a_defined_result(load, change, note):
    persons = load(file_of(annotation(1, **change)))
    (person,) = persons.persons
    assert (person.annotation_id, (person.visible > 0).sum(), person.area) == (1, 2, 300.5)
    assert persons.notes == ({note: 1} if note else {})


@pytest.mark.parametrize("nothing", [None, NAN, INFINITY, 1e60])
def test_coordinates_of_what_is_not_labelled_do_not_count(load, nothing):
    entry = annotation(1)
    entry["keypoints"][6:12] = [nothing, nothing, 0, 3, nothing, 0]
    (person,) = load(file_of(entry)).persons
    np.testing.assert_array_equal(person.keypoints[:4], [[12, 14], [15.5, 16], [0, 0], [0, 0]])
    np.testing.assert_array_equal(person.visible[:4], [2, 1, 0, 0])


def test_flags_beyond_cocos_stay_labelled(load):
    entry = annotation(1)
    entry["keypoints"][2:18:3] = [0, 0.5, 1, 1.5, 2, 7]
    (person,) = load(file_of(entry)).persons
    np.testing.assert_array_equal(person.visible[:6], [0, 1, 1, 2, 2, 2])


@pytest.mark.parametrize(("flag", "tells"), [(2, True), (1, False)])
def test_a_set_tells_occlusion_if_any_keypoint_is_visible(load, flag, tells):
    entry = annotation(1)
    entry["keypoints"][2] = flag
    assert load(file_of(annotation(2, keypoints=[5, 5, 1] * 17), entry)).tells_occlusion is tells


def test_keypoints_may_be_triples(load):
    entry = annotation(1)
    nested = annotation(1, keypoints=np.reshape(entry["keypoints"], (17, 3)).tolist())
    one, other = (load(file_of(each)).persons[0] for each in (entry, nested))
    np.testing.assert_array_equal(one.keypoints, other.keypoints)
    np.testing.assert_array_equal(one.visible, other.visible)


@pytest.mark.parametrize("box", ["absent", None, [12, 14, 0, 0]])
def test_boxes_come_from_keypoints_on_request(load, box):
    entry = annotation(1, keypoints=[10, 20, 2, 30, 60, 1] + [0] * 45, bbox=box)
    if box == "absent":
        del entry["bbox"]
    persons = load(file_of(entry), boxes_from_keypoints=True)
    # 1.25 times the extent of 20 × 40, around its middle (20, 40); the rule of clipping takes a pixel off.
    assert persons.persons[0].box == pytest.approx((7.5, 15, 24, 49))
    assert persons.notes["boxes taken from keypoints"] == 1
    if box != [12, 14, 0, 0]:
        with pytest.raises(UserError, match="lacks 'bbox'; boxes_from_keypoints"):
            load(file_of(entry))


def test_one_point_makes_no_box(load):
    entry = annotation(1, keypoints=[10, 20, 2] + [0] * 48, bbox=None)
    persons = load(file_of(entry, annotation(2)), boxes_from_keypoints=True)
    assert persons.summary() == "1 person; 1 left out (a box of one point)"


def test_who_has_neither_box_nor_keypoints_is_left_out(load):
    entry = annotation(1, keypoints=[0] * 51, bbox=None)
    persons = load(file_of(entry, annotation(2)), boxes_from_keypoints=True)
    assert persons.left_out == {"no box, and no keypoints to tell it from": 1} and len(persons.ignored) == 0


def test_sizes_are_read_from_the_images_where_the_file_has_none(load, tmp_path):
    values = file_of(annotation(1))
    for key in ("height", "width"):
        del values["images"][0][key]
    with pytest.raises(UserError, match="image 1 lacks 'height'"):
        load(values)
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(np.zeros((40, 60, 3), np.uint8), 90))
    persons = load(values, images=tmp_path)
    assert (persons.images[1].height, persons.images[1].width) == (40, 60)
    assert persons.notes == {"image sizes read from the files": 1}


CROWD = {"iscrowd": 1}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"category_id": "1"}, "category_id is '1', which is text"),
        ({"image_id": "1"}, "image_id is '1', which is text"),
        ({"image_id": [1]}, r"image_id is \[1\]; it must be an integer"),
        ({"image_id": None}, "image_id is None"),
        ({"image_id": True}, "image_id is True"),
        ({"iscrowd": "0"}, "iscrowd is '0', which is text; it must be 0 or 1"),
        ({"iscrowd": 2}, "iscrowd is 2"),
        ({"iscrowd": [0]}, r"iscrowd is \[0\]"),
        ({"area": "300"}, "area is '300', which is text"),
        ({"area": 1e60}, "area is 1e.60.*at most"),
        ({"bbox": [1e60, 0, 1, 1]}, "bbox is 1e.60.*at most"),
        ({"bbox": [0, 0, 10**400, 1]}, "bbox is 1000.*at most"),
        ({"bbox": "0 0 1 1"}, "bbox is '0 0 1 1'"),
        ({"keypoints": "text"}, "keypoints is 'text'"),
        ({"keypoints": None}, "keypoints is None"),
        ({"keypoints": 5}, "keypoints is 5"),
        ({"keypoints": ["1", 1, 1] * 17}, "keypoints holds '1', which is text"),
        ({"keypoints": [True, 1, 1] * 17}, "keypoints holds True"),
        ({"keypoints": [2**64, 1, 1] * 17}, "keypoints holds .*at place 1, which is labelled"),
        ({"keypoints": [10**400, 1, 1] * 17}, "keypoints holds a number beyond"),
        ({"keypoints": [None, 1, 1] * 17}, "keypoints holds .*null.* at place 1, which is labelled"),
        ({"keypoints": [1, 1, None] * 17}, "visibility"),
        ({"keypoints": [[1, 1]] * 17}, "keypoints holds 17 numbers"),
        (CROWD | {"bbox": None}, "lacks 'bbox'"),
        (CROWD | {"bbox": [1, 2]}, "bbox"),
        (CROWD | {"keypoints": [1]}, "keypoints holds 1 numbers"),
        (CROWD | {"area": "much"}, "area is 'much'"),
    ],
)
def test_faults_of_annotations_are_named(load, change, named):
    """All that a metric reads is checked here, crowds too: a training must not end at its first evaluation."""
    with pytest.raises(UserError, match=f"annotation 7.*{named}") as caught:
        load(file_of(annotation(1), annotation(7, **change)))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["", "a\0b.jpg", 3, ["a.jpg"], "\ud800.jpg", None])
def test_impossible_file_names_are_refused(load, name):
    values = file_of(annotation(1))
    values["images"][0]["file_name"] = name
    with pytest.raises(UserError, match="image 1: file_name is .*must be the name of a file"):
        load(values)


def test_real_annotations(shared_data):
    val = load_persons(shared_data / "annotations" / "person_keypoints_val.json", COCO17)
    assert (len(val.persons), len(val.images), val.left_out["crowd"]) == (323, 120, 6)
    assert val.summary() == "323 persons; 103 left out (no labelled keypoint); 6 left out (crowd)"
    train = load_persons(shared_data / "annotations" / "person_keypoints_train.json", COCO17)
    assert (len(train.persons), len(train.images)) == (5402, 2000)
