import json

import numpy as np
import pytest
from media_files import image_file

from keras_simplepose import detect as command
from keras_simplepose.config import DetectionDataConfig, DetectorConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_detections, load_persons
from keras_simplepose.utils.errors import UserError


@pytest.fixture
def data_set(tmp_path):
    """Two images and one person, of a category that is not 1."""
    names = ["a.png", "b.png"]
    for name in names:
        image_file(tmp_path / "images" / name, size=(80, 60))
    keypoints = [10, 10, 2] * 17
    values = {
        "images": [{"id": 7 + i, "file_name": name, "height": 80, "width": 60} for i, name in enumerate(names)],
        "annotations": [
            {"id": 1, "image_id": 8, "category_id": 3, "bbox": [2, 2, 57, 77], "keypoints": keypoints, "area": 99.0}
        ],
        "categories": [{"id": 3, "name": "person", "keypoints": list(COCO17.keypoints)}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(values))
    return tmp_path


def run(folder, **options):
    values = {"annotations": str(folder / "annotations.json"), "images": str(folder / "images")}
    config = DetectionDataConfig(**(values | {"output": str(folder / "out" / "boxes.json")} | options))
    return command.main(config, DetectorConfig(detector="none"))


def test_detections_are_what_evaluate_reads(data_set, capsys):
    run(data_set)
    person_set = load_persons(data_set / "annotations.json", COCO17)
    detections = load_detections(data_set / "out" / "boxes.json", person_set)
    assert [(each.image_id, each.box, each.score) for each in detections] == [
        (7, (0, 0, 60, 80), 1),
        (8, (0, 0, 60, 80), 1),
    ]
    output = capsys.readouterr().out
    assert "2 persons in 2 images" in output and "1/1 = 1.000" in output


def test_a_damaged_image_stops_it_or_is_listed(data_set, capsys):
    (data_set / "images" / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="a.png.*skip_damaged"):
        run(data_set)
    assert not (data_set / "out" / "boxes.json").exists()
    run(data_set, skip_damaged=True)
    assert len(json.loads((data_set / "out" / "boxes.json").read_text())) == 1
    assert "left out" in capsys.readouterr().out


def test_bad_input_is_named(data_set):
    with pytest.raises(UserError, match="no such folder"):
        run(data_set, images=str(data_set / "missing"))
    (data_set / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        run(data_set, output=str(data_set / "file" / "boxes.json"))


def test_boxes_are_plain_numbers(data_set):
    run(data_set)
    for entry in json.loads((data_set / "out" / "boxes.json").read_text()):
        assert np.array(entry["bbox"]).shape == (4,) and isinstance(entry["score"], float)
