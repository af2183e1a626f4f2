import json

import numpy as np
import pytest
from media_files import image_file

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.detection.box_file import BoxFile
from keras_simplepose.media.source import Frame, open_source
from keras_simplepose.utils.errors import UserError

SIZE = (20, 30)


def annotations(path, entries, category=1):
    """Entries: (image id, file name, x of its boxes …)."""
    people, images = [], []
    for image_id, name, *lefts in entries:
        images.append({"id": image_id, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        for left in lefts:
            person = {"id": len(people) + 1, "image_id": image_id, "category_id": category, "bbox": [left, 0, 9, 9]}
            people.append(person | {"keypoints": [5, 5, 2] * 17, "area": 40.0, "num_keypoints": 17})
    categories = [{"id": category, "name": "person", "keypoints": list(COCO17.keypoints)}]
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": categories}))
    return path


def detections(path, entries, category=1):
    """Entries: (image id, file name or None, x of the box)."""
    values = []
    for image_id, name, left in entries:
        entry = {"image_id": image_id, "category_id": category, "bbox": [left, 0, 9, 9], "score": 0.5}
        values.append(entry if name is None else entry | {"file_name": name})
    path.write_text(json.dumps(values))
    return path


def lefts(boxes, source):
    """The x of the boxes of every picture, by name."""
    image = np.zeros((*SIZE, 3), np.uint8)
    return {name: boxes(Frame(index, name, image)).boxes[:, 0].tolist() for index, name in enumerate(source.names)}


@pytest.fixture
def sequences(tmp_path):
    for name in ("seqA/000001.png", "seqA/000002.png", "seqB/000001.png", "seqB/000002.png"):
        image_file(tmp_path / "in" / name, size=SIZE)
    return tmp_path


LISTED = [(1, "seqA/000001.png", 1), (2, "seqA/000002.png", 2), (3, "seqB/000001.png", 3), (4, "seqB/000002.png", 4)]


@pytest.mark.parametrize("kind", [annotations, detections])
def test_sequences_of_equal_names_keep_their_own_boxes(sequences, kind):
    path = kind(sequences / "boxes.json", LISTED)
    both = open_source(str(sequences / "in" / "*" / "*.png"))
    boxes = BoxFile(path, both, COCO17)
    assert lefts(boxes, both) == {entry[1]: [entry[2]] for entry in LISTED} and boxes.note == ""
    assert [boxes.ids[index] for index in range(4)] == [1, 2, 3, 4]
    second = open_source(str(sequences / "in" / "seqB"))
    assert lefts(BoxFile(path, second, COCO17), second) == {"000001.png": [3], "000002.png": [4]}


@pytest.mark.parametrize("kind", [annotations, detections])
def test_what_is_ambiguous_is_refused(sequences, kind):
    both = open_source(str(sequences / "in" / "*" / "*.png"))
    with pytest.raises(UserError, match=r"lists 000001\.png, and that may be each of .*seqA.*seqB"):
        BoxFile(kind(sequences / "bare.json", [(1, "000001.png", 1)]), both, COCO17)
    image_file(sequences / "copy" / "000001.png", size=SIZE)
    with pytest.raises(UserError, match=r"lists seqA/000001\.png, seqB/000001\.png, and .*copy.* may be each"):
        BoxFile(kind(sequences / "boxes.json", LISTED), open_source(str(sequences / "copy")), COCO17)


def test_a_match_by_the_name_alone_is_said(sequences):
    path = annotations(sequences / "boxes.json", [(7, "train2017/000001.png", 5)])
    source = open_source(str(sequences / "in" / "seqA"))
    boxes = BoxFile(path, source, COCO17)
    assert boxes.ids == {0: 7} and "1 images lie in other folders" in boxes.note
    windows = annotations(sequences / "windows.json", [(7, "seqA\\000001.png", 5)])
    assert BoxFile(windows, source, COCO17).note == ""


def test_entries_of_one_file_are_merged(tmp_path):
    image_file(tmp_path / "in" / "a.png", size=SIZE)
    source = open_source(str(tmp_path / "in"))
    path = annotations(tmp_path / "boxes.json", [(1, "a.png", 1), (2, "./a.png", 2, 3)])
    boxes = BoxFile(path, source, COCO17)
    assert lefts(boxes, source) == {"a.png": [1, 2, 3]} and boxes.ids == {0: 1}
    values = json.loads(path.read_text())
    values["images"][1]["width"] += 1
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"a\.png under 2 ids, with different sizes"):
        BoxFile(path, source, COCO17)


def test_numbers_without_a_picture_are_an_error(tmp_path):
    for number in range(4):
        image_file(tmp_path / "in" / f"frame_{number:06}.png", size=SIZE)
    source = open_source(str(tmp_path / "in"))
    named = [(number + 1, f"frame_{number:06}.png", number) for number in range(4)]
    assert lefts(BoxFile(detections(tmp_path / "named.json", named), source, COCO17), source) == {
        name: [left] for _, name, left in named
    }
    with pytest.raises(UserError, match="no picture's name ends in image_id 4; it is partly of others"):
        BoxFile(detections(tmp_path / "bare.json", [(number, None, left) for number, _, left in named]), source, COCO17)
    with pytest.raises(UserError, match="some entries have a file_name and some have none"):
        BoxFile(detections(tmp_path / "mixed.json", [*named, (1, None, 0)]), source, COCO17)


@pytest.mark.parametrize("kind", [annotations, detections])
def test_the_category_is_that_of_the_file(tmp_path, kind):
    image_file(tmp_path / "in" / "a.png", size=SIZE)
    source = open_source(str(tmp_path / "in"))
    boxes = BoxFile(kind(tmp_path / "boxes.json", [(1, "a.png", 4)], category=0), source, COCO17)
    assert boxes.category_id == 0 and lefts(boxes, source) == {"a.png": [4]}


def test_several_categories_need_persons_among_them(tmp_path):
    image_file(tmp_path / "in" / "a.png", size=SIZE)
    source, values = open_source(str(tmp_path / "in")), []
    for category in (2, 3):
        path = detections(tmp_path / "boxes.json", [(1, "a.png", category)], category)
        values += json.loads(path.read_text())
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="categories 2, 3, and none is 1"):
        BoxFile(path, source, COCO17)


def test_real_files_with_equal_names_and_twice_listed(shared_data):
    from keras_simplepose.data.coco import load_persons

    odd = shared_data / "odd_files"
    source = open_source(str(odd / "samename" / "*" / "*.jpg"))
    boxes = BoxFile(odd / "samename" / "ann.json", source, COCO17)
    persons = load_persons(odd / "samename" / "ann.json", COCO17, labelled_only=False)
    for index, name in enumerate(source.names):
        record = next(each for each in persons.images.values() if each.file_name == name)
        found = boxes(Frame(index, name, np.zeros((record.height, record.width, 3), np.uint8)))
        assert found.boxes.tolist() == [list(person.box) for person in persons.by_image()[record.id]]
    source = open_source(str(shared_data / "odd_json" / "images"))
    boxes = BoxFile(odd / "twice" / "ann.json", source, COCO17)
    persons = load_persons(odd / "twice" / "ann.json", COCO17, labelled_only=False)
    images = [np.zeros((*boxes.hints[index].size, 3), np.uint8) for index in range(len(source.names))]
    assert sum(len(boxes(Frame(i, "", image))) for i, image in enumerate(images)) == len(persons.persons)
