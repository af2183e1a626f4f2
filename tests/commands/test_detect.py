import json

import numpy as np
import pytest
from media_files import image_file
from PIL import Image

from keras_simplepose import detect as command
from keras_simplepose.config import DetectionDataConfig, DetectorConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_detections, load_persons
from keras_simplepose.detection.box_file import BoxFile
from keras_simplepose.media.source import open_source
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
    assert (
        "2 persons in 2 images" in output and "1.000 of all 1 persons, 1.000 of the 1 of at least 64 pixels" in output
    )


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


def test_boxes_name_their_files_and_frames(data_set, capsys):
    """A photograph of EXIF orientation 6, annotated as displayed, and its boxes in the frame that predict reads."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = data_set / "images" / "b.png"
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(path, exif=exif)  # 80 high as displayed, as the record says.
    run(data_set)
    entries = json.loads((data_set / "out" / "boxes.json").read_text())
    assert [(entry["file_name"], entry.get("orientation")) for entry in entries] == [
        ("a.png", None),
        ("b.png", "displayed"),
    ]
    assert entries[1]["bbox"] == [0, 0, 60, 80]
    assert "warning: 1 images carry an EXIF orientation: 1 as displayed" in capsys.readouterr().err
    source = open_source(str(data_set / "images"))
    boxes = BoxFile(data_set / "out" / "boxes.json", source, COCO17)
    assert boxes.category_id == 3 and boxes.ids == {0: 7, 1: 8}
    frames = list(source.with_hints(boxes.hints).frames(pytest.fail))
    assert [frame.image.shape for frame in frames] == [(80, 60, 3)] * 2
    with pytest.raises(UserError, match="EXIF orientation 6"):
        run(data_set, output=str(data_set / "stored.json"), orientation="stored")


def test_a_file_of_the_user_is_not_replaced(data_set):
    (data_set / "out").mkdir()
    (data_set / "out" / "boxes.json").write_text("[]")
    with pytest.raises(UserError, match="was not made by this command"):
        run(data_set)
    with pytest.raises(UserError, match="is an input"):
        run(data_set, output=str(data_set / "annotations.json"))
    (data_set / "out" / "boxes.json").unlink()
    run(data_set)
    run(data_set)
