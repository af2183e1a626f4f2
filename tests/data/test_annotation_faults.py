"""Whatever a JSON file holds, reading it gives persons that can be measured, or one short line."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_detections, load_persons
from keras_simplepose.evaluation.coco_metrics import keypoint_metrics
from keras_simplepose.utils.errors import UserError

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


def tidy():
    """Two persons and a crowd in two images."""
    points = [value for place in range(17) for value in (10.0 + 3 * place, 20.0 + 2 * place, place % 3)]
    entry = {"category_id": 1, "bbox": [5, 10, 60, 50], "area": 900.0, "iscrowd": 0, "num_keypoints": 11}
    people = [entry | {"id": place, "image_id": place, "keypoints": list(points)} for place in (1, 2)]
    crowd = entry | {"id": 3, "image_id": 2, "iscrowd": 1, "num_keypoints": 0, "keypoints": [0] * 51}
    return {
        "images": [{"id": place, "file_name": f"{place}.jpg", "height": 80, "width": 100} for place in (1, 2)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}],
        "annotations": [*people, crowd],
    }


def found():
    return [{"image_id": place, "category_id": 1, "bbox": [5, 10, 60, 50], "score": 0.5} for place in (1, 2)]


def paths_of(value, path=()):
    """The places of all values in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from paths_of(part, (*path, key))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**400, 1e60, -1e60, 5e-324, -0.0, 1e308]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["1", "0", "", "\0", "\ud800", "nose", "x" * 3000]),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))
ACTIONS = st.sampled_from(["replace", "remove", "repeat"])
CHANGES = st.lists(st.tuples(st.integers(0, 10**6), ACTIONS, VALUES), min_size=1, max_size=3)


def changed(values, changes):
    values = copy.deepcopy(values)
    for number, action, new in changes:
        places = [path for path in paths_of(values) if path]
        if not places:
            break
        # Short paths are few, long ones many: half of the changes go to what is not a coordinate.
        short = [path for path in places if len(path) < 4]
        chosen = short if number % 2 else places
        *parents, last = chosen[number // 2 % len(chosen)]
        holder = values
        for key in parents:
            holder = holder[key]
        if action == "replace":
            holder[last] = new
        elif action == "remove":
            del holder[last]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
    return values


def check_message(error, name):
    text = str(error)
    assert name in text and "\n" not in text and len(text.split(name, 1)[1]) < 300


def check_annotations(path, changes, **options):
    path.write_text(json.dumps(changed(tidy(), changes)))
    try:
        persons = load_persons(path, COCO17, **options)
        results = [
            {
                "image_id": person.image_id,
                "category_id": persons.category_id,
                "keypoints": np.column_stack([person.keypoints, person.visible]).ravel(),
                "score": 1.0,
            }
            for person in persons.persons
        ]
        # Perfect poses of all persons read: what the reader leaves out is not missed.
        assert keypoint_metrics(persons, results, COCO17.sigmas)["AP"] == pytest.approx(1)
        assert all(np.isfinite(person.keypoints).all() and person.area > 0 for person in persons.persons)
    except UserError as error:
        check_message(error, path.name)


def check_detections(path, changes):
    annotations = path.with_name("annotations.json")
    annotations.write_text(json.dumps(tidy()))
    path.write_text(json.dumps(changed(found(), changes)))
    try:
        boxes = [detection.box for detection in load_detections(path, load_persons(annotations, COCO17), {})]
        assert np.isfinite(np.array(boxes, np.float32)).all()
    except UserError as error:
        check_message(error, path.name)


@settings(SETTINGS, max_examples=120)
@given(changes=CHANGES, trust=st.booleans(), boxes=st.booleans())
def test_changed_annotations(tmp_path, changes, trust, boxes):
    check_annotations(tmp_path / "a.json", changes, trust_keypoint_order=trust, boxes_from_keypoints=boxes)


@settings(SETTINGS, max_examples=100)
@given(changes=CHANGES)
def test_changed_detections(tmp_path, changes):
    check_detections(tmp_path / "detections.json", changes)


@settings(SETTINGS, max_examples=100)
@given(value=VALUES)
def test_any_json(tmp_path, value):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    for wrapped in (value, {"images": value, "annotations": value, "categories": value}):
        path.write_text(json.dumps(wrapped))
        try:
            load_persons(path, COCO17)
        except UserError as error:
            check_message(error, path.name)


@pytest.mark.slow
@settings(SETTINGS, max_examples=10_000)
@given(changes=CHANGES, trust=st.booleans(), boxes=st.booleans())
def test_many_changed_annotations(tmp_path, changes, trust, boxes):
    check_annotations(tmp_path / "a.json", changes, trust_keypoint_order=trust, boxes_from_keypoints=boxes)
