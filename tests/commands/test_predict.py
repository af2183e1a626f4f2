import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from media_files import image_file, read_all, write_video
from PIL import Image
from stand_ins import brightest, tiny_network

from keras_simplepose import predict as command
from keras_simplepose.config import DetectorConfig, EvaluationConfig, PredictConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.synthetic.scenes import render_scene
from keras_simplepose.detection.box_file import BoxFile
from keras_simplepose.detection.detectors import load_detector
from keras_simplepose.media.output import write_picture
from keras_simplepose.media.source import Video, open_source
from keras_simplepose.media.video import VideoFile
from keras_simplepose.models.files import save_model
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.prediction.stream import predict_source
from keras_simplepose.utils.errors import UserError

SPEC = PoseSpec(COCO17, (64, 48), (16, 12), 2.0)


@pytest.fixture
def predictor():
    return PosePredictor(brightest, SPEC, EvaluationConfig(evaluation_batch_size=4))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    save_model(tiny_network(SPEC), path)
    return str(path)


def whole(frame):
    return PersonBoxes.whole(frame.image)


def run(model, source, output, detector="none", **options):
    config = PredictConfig(model=model, input=str(source), output=str(output), **options)
    return command.main(config, DetectorConfig(detector=detector), EvaluationConfig(evaluation_batch_size=4))


def read_json(path):
    return json.loads(path.read_text())


def read_csv(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def spotted_folder(folder):
    """Three images with one bright pixel each; returns where."""
    spots = {"img1.png": (40, 20), "img2.png": (10, 50), "img12.png": (61, 33)}
    folder.mkdir()
    for name, (x, y) in spots.items():
        image = np.zeros((70, 90, 3), np.uint8)
        cv2.circle(image, (x, y), 2, (250, 250, 250), -1)
        cv2.imwrite(str(folder / name), image)
    return spots


def test_without_a_detector_given_the_one_that_ships_finds_persons(tmp_path, model):
    image, _ = render_scene(0, 3)
    cv2.imwrite(str(tmp_path / "photo.png"), image[..., ::-1])
    config = PredictConfig(model=model, input=str(tmp_path / "photo.png"), output=str(tmp_path / "out"), draw=False)
    assert command.main(config, DetectorConfig(detector_threshold=0.1), EvaluationConfig(nms="none")) == 0
    wanted = load_detector(DetectorConfig(detector="person_detector", detector_threshold=0.1))(image)
    assert len(read_json(tmp_path / "out" / "poses.json")) == len(wanted) > 0


def test_a_folder_becomes_results_table_and_drawings(tmp_path, predictor):
    spots = spotted_folder(tmp_path / "in")
    summary = predict_source(open_source(str(tmp_path / "in")), predictor, whole, tmp_path / "out", progress=False)
    assert (summary.pictures, summary.persons, summary.faults) == (3, 3, [])
    results = read_json(tmp_path / "out" / "poses.json")
    assert {entry["file_name"]: entry["image_id"] for entry in results} == {
        "img1.png": 1,
        "img2.png": 2,
        "img12.png": 12,
    }
    for entry in results:
        assert (
            set(entry) == {"image_id", "category_id", "keypoints", "score", "file_name"} and entry["category_id"] == 1
        )
        points = np.array(entry["keypoints"]).reshape(17, 3)
        assert np.abs(points[:, :2] - spots[entry["file_name"]]).max() < 4 and points[:, 2] == pytest.approx(0.9)
    rows = read_csv(tmp_path / "out" / "poses.csv")
    assert [row["image"] for row in rows] == ["img1.png", "img12.png", "img2.png"]
    assert rows[0]["nose_reliable"] == "1" and float(rows[0]["left_ankle_x"]) == pytest.approx(40, abs=4)
    assert sorted(path.name for path in (tmp_path / "out" / "drawings").glob("*.png")) == sorted(spots)
    drawn = cv2.imread(str(tmp_path / "out" / "drawings" / "img1.png"))
    assert drawn.shape == (70, 90, 3) and (drawn != cv2.imread(str(tmp_path / "in" / "img1.png"))).any()


def test_a_folder_becomes_a_data_set_of_fiftyones(tmp_path, predictor):
    spotted_folder(tmp_path / "in")
    source = open_source(str(tmp_path / "in"))
    for _ in range(2):  # A folder made here may be replaced.
        summary = predict_source(source, predictor, whole, tmp_path / "out", progress=False, fiftyone=True)
    assert summary.fiftyone == tmp_path / "out" / "fiftyone"
    samples = read_json(summary.fiftyone / "samples.json")["samples"]
    results = {entry["file_name"]: entry for entry in read_json(tmp_path / "out" / "poses.json")}
    assert [Path(sample["filepath"]) for sample in samples] == [tmp_path / "in" / name for name in source.names]
    for sample in samples:
        (person,) = sample["poses"]["keypoints"]
        points = np.array(results[Path(sample["filepath"]).name]["keypoints"]).reshape(17, 3)
        np.testing.assert_allclose(np.array(person["points"]) * (90, 70), points[:, :2], atol=1e-4)
        assert person["confidence"] == pytest.approx(points[:, 2]) and person["label"] == "person"
        assert sample["poses_boxes"]["detections"][0]["bounding_box"] == [0, 0, 1, 1]
    metadata = read_json(summary.fiftyone / "metadata.json")
    assert len(metadata["info"]["default_skeleton"]["labels"]) == 17 and "version" not in metadata
    with pytest.raises(UserError, match="wants photographs"):
        predict_source(Video("a.mp4", "video", None, 1.0), predictor, whole, tmp_path / "other", fiftyone=True)


def test_results_are_what_pycocotools_reads(tmp_path, predictor):
    from pycocotools.coco import COCO

    spotted_folder(tmp_path / "in")
    predict_source(open_source(str(tmp_path / "in")), predictor, whole, tmp_path / "out", progress=False)
    truth = COCO()
    truth.dataset = {"images": [{"id": each} for each in (1, 2, 12)], "annotations": [], "categories": [{"id": 1}]}
    truth.createIndex()
    assert len(truth.loadRes(str(tmp_path / "out" / "poses.json")).anns) == 3


def test_duplicates_are_suppressed_as_in_evaluation(tmp_path, predictor):
    spotted_folder(tmp_path / "in")

    def three_times(frame):
        return PersonBoxes(np.array([[0, 0, 90, 70]] * 3, np.float32), np.array([0.5, 0.9, 0.7], np.float32))

    summary = predict_source(
        open_source(str(tmp_path / "in")), predictor, three_times, tmp_path / "out", progress=False
    )
    assert summary.persons == 3
    assert [entry["score"] for entry in read_json(tmp_path / "out" / "poses.json")] == pytest.approx([0.81] * 3)


def test_a_bad_photograph_is_reported_and_the_rest_done(tmp_path, model, capsys):
    image_file(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    image_file(tmp_path / "in" / "c.png")
    assert run(model, tmp_path / "in", tmp_path / "out") == 1
    output = capsys.readouterr()
    assert "b.png" in output.err and "2 persons in 2 images" in output.out and "1 faults" in output.out
    assert [entry["image_id"] for entry in read_json(tmp_path / "out" / "poses.json")] == [1, 3]


def test_video_in_video_out(tmp_path, model):
    write_video(tmp_path / "clip.mp4", 12, rate=29.97)
    assert run(model, tmp_path / "clip.mp4", tmp_path / "out", heatmaps=True) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".keras_simplepose",
        "clip.mp4",
        "poses.csv",
        "poses.json",
    ]
    source = open_source(str(tmp_path / "out" / "clip.mp4"))
    frames, _ = read_all(source)
    assert len(frames) == 12 and source.rate == pytest.approx(29.97, 1e-4) and frames[0].image.shape == (48, 64, 3)
    assert [entry["image_id"] for entry in read_json(tmp_path / "out" / "poses.json")] == list(range(12))


def test_a_video_that_ends_in_the_middle_is_done_so_far(tmp_path, model, capsys):
    data = write_video(tmp_path / "whole.avi", 60, codec="MJPG").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    assert run(model, tmp_path / "cut.avi", tmp_path / "out") == 1
    assert "ends after" in capsys.readouterr().err
    assert 10 < len(read_json(tmp_path / "out" / "poses.json")) < 50


def test_frames_can_be_limited_and_not_drawn(tmp_path, model):
    write_video(tmp_path / "clip.mp4", 12)
    assert run(model, tmp_path / "clip.mp4", tmp_path / "out", maximum_frames=5, draw=False) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".keras_simplepose",
        "poses.csv",
        "poses.json",
    ]
    assert len(read_json(tmp_path / "out" / "poses.json")) == 5


def test_memory_is_flat_in_the_length_of_a_video(tmp_path, predictor):
    """Frames that are alive at any time, whether or not there are persons in them."""
    import gc
    import weakref

    write_video(tmp_path / "clip.mp4", 80)
    alive, most = weakref.WeakSet(), []

    def persons_in_the_first(frame):
        alive.add(frame)
        gc.collect(0)
        most.append(len(alive))
        found = PersonBoxes.whole(frame.image)
        return found if frame.index == 0 else PersonBoxes(found.boxes[:0], found.scores[:0])

    source = open_source(str(tmp_path / "clip.mp4"))
    summary = predict_source(source, predictor, persons_in_the_first, tmp_path / "out", progress=False)
    assert summary.pictures == 80 and summary.persons == 1 and max(most) < 25


def test_boxes_of_annotations_and_of_detections(tmp_path, predictor):
    spotted_folder(tmp_path / "in")
    source = open_source(str(tmp_path / "in"))
    detections = [
        {"image_id": 2, "category_id": 1, "bbox": [0, 30, 30, 35], "score": 0.5},
        {"image_id": 2, "category_id": 7, "bbox": [0, 0, 9, 9], "score": 0.5},
    ]
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    boxes = BoxFile(tmp_path / "detections.json", source, COCO17)
    summary = predict_source(source, predictor, boxes, tmp_path / "out", progress=False)
    entries = read_json(tmp_path / "out" / "poses.json")
    assert summary.faults == [] and [entry["image_id"] for entry in entries] == [2]
    assert entries[0]["score"] == pytest.approx(0.45)
    annotations = {
        "images": [{"id": 501, "file_name": "img12.png", "height": 70, "width": 90}]
        + [{"id": 502, "file_name": "img1.png", "height": 70, "width": 91}],
        "annotations": [
            {"id": 1, "image_id": 501, "category_id": 1, "bbox": [50, 20, 25, 30], "keypoints": [0] * 51, "area": 9.0}
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(annotations))
    boxes = BoxFile(tmp_path / "annotations.json", source, COCO17)
    summary = predict_source(source, predictor, boxes, tmp_path / "out", progress=False)
    assert [entry["image_id"] for entry in read_json(tmp_path / "out" / "poses.json")] == [501]
    assert len(summary.faults) == 2  # One image is of another size, one is not listed.
    assert any("91×70" in fault for fault in summary.faults) and any(
        "img2.png: not listed" in f for f in summary.faults
    )


def test_a_box_file_of_other_images_is_an_error(tmp_path):
    spotted_folder(tmp_path / "in")
    source = open_source(str(tmp_path / "in"))
    (tmp_path / "other.json").write_text('[{"image_id": 99, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 1}]')
    with pytest.raises(UserError, match="of others"):
        BoxFile(tmp_path / "other.json", source, COCO17)
    categories = [{"id": 1, "keypoints": list(COCO17.keypoints)}]
    (tmp_path / "other2.json").write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    with pytest.raises(UserError, match="of others"):
        BoxFile(tmp_path / "other2.json", source, COCO17)


def test_a_camera_runs_until_interrupted(tmp_path, predictor, monkeypatch):
    class Camera:
        def __init__(self, source):
            self.source = source

        def isOpened(self):  # noqa: N802
            return True

        def get(self, _):
            return 0.0

        def read(self):
            return True, np.zeros((40, 60, 3), np.uint8)

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    shown = []

    class Window:
        def __init__(self, title):
            pass

        def show(self, image):
            shown.append(image.shape)
            if len(shown) == 3:
                raise KeyboardInterrupt
            return True

        def close(self):
            shown.append("closed")

    monkeypatch.setattr("keras_simplepose.prediction.stream.Window", Window)
    source = open_source("0")
    summary = predict_source(source, predictor, whole, tmp_path / "out", show=True, progress=False)
    assert shown == [(40, 60, 3)] * 3 + ["closed"] and summary.pictures == 3
    assert len(read_json(tmp_path / "out" / "poses.json")) == 3 and summary.drawings.name == "camera 0.mp4"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "missing.keras"}, "no such model"),
        ({"model": "text.keras"}, "not a Keras model"),
        ({"source": "missing.jpg"}, "no such file"),
        ({"source": "."}, "no image in this folder"),
        ({"detector": "", "boxes": "missing.json"}, "no such file"),
    ],
)
def test_bad_input_is_named(options, message, tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image_file(tmp_path / "in" / "a.png")
    (tmp_path / "text.keras").write_text("no model")
    values = {"model": model, "source": "in", "output": "out"} | options
    with pytest.raises(UserError, match=message):
        run(**values)
    assert not (tmp_path / "out").exists()


def test_an_error_leaves_nothing_half_written(tmp_path):
    image_file(tmp_path / "in" / "a.png")
    broken = PosePredictor(lambda crops: (brightest(crops)[0] * np.nan, brightest(crops)[1]), SPEC)
    with pytest.raises(UserError, match="not finite"):
        predict_source(open_source(str(tmp_path / "in")), broken, whole, tmp_path / "out", progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_drawings_never_replace_their_images(tmp_path, predictor):
    image_file(tmp_path / "drawings" / "a.png")
    source = open_source(str(tmp_path / "drawings"))
    with pytest.raises(UserError, match="is an input"):
        predict_source(source, predictor, whole, tmp_path, progress=False)


@pytest.mark.parametrize("given", ["walk.mp4", "link.mp4", "folder/walk.mp4"])
def test_a_video_is_never_drawn_over_itself(tmp_path, model, given):
    clips = tmp_path / "clips"
    clips.mkdir()
    before = write_video(clips / "walk.mp4", 12).read_bytes()
    (clips / "link.mp4").symlink_to(clips / "walk.mp4")
    (clips / "folder").symlink_to(clips, target_is_directory=True)
    with pytest.raises(UserError, match=r"(walk|link)\.mp4: is an input"):
        run(model, clips / given, clips, maximum_frames=3)
    assert (clips / "walk.mp4").read_bytes() == before and not (clips / "poses.json").exists()


def test_files_of_the_user_are_not_replaced(tmp_path, model):
    write_video(tmp_path / "walk 1.mp4", 5)
    (tmp_path / "out").mkdir()
    other = write_video(tmp_path / "out" / "walk 1.mp4", 7)
    before = other.read_bytes()
    with pytest.raises(UserError, match=r"walk 1\.mp4: is there already and was not made"):
        run(model, tmp_path / "walk 1.mp4", tmp_path / "out")
    assert other.read_bytes() == before
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "poses.csv").write_text("a user's table")
    with pytest.raises(UserError, match=r"poses\.csv: is there already"):
        run(model, tmp_path / "walk 1.mp4", tmp_path / "csv")
    assert (tmp_path / "csv" / "poses.csv").read_text() == "a user's table"


def test_an_output_is_of_one_source_and_can_be_made_again(tmp_path, model):
    spotted_folder(tmp_path / "in")
    write_video(tmp_path / "clip.mp4", 5)
    for _ in range(2):
        assert run(model, tmp_path / "in", tmp_path / "out") == 0
    before = (tmp_path / "out" / "poses.json").read_bytes()
    with pytest.raises(UserError, match=r"poses\.json: holds the results of .*in; choose another output"):
        run(model, tmp_path / "clip.mp4", tmp_path / "out")
    assert (tmp_path / "out" / "poses.json").read_bytes() == before


def test_names_that_are_no_utf8_keep_their_poses(tmp_path, model):
    name = os.fsdecode(b"caf\xe9.png")
    for each in ("a.png", name):
        image_file(tmp_path / "in" / each)
    assert run(model, tmp_path / "in", tmp_path / "out") == 0
    assert [entry["file_name"] for entry in read_json(tmp_path / "out" / "poses.json")] == ["a.png", name]
    assert b"caf\xe9.png,2,," in (tmp_path / "out" / "poses.csv").read_bytes()
    assert (tmp_path / "out" / "drawings" / name).exists()


def test_an_error_in_a_drawing_costs_the_drawing_only(tmp_path, predictor, monkeypatch):
    spotted_folder(tmp_path / "in")

    def write(folder, name, image, source=""):
        if name == "img12.png":
            raise OSError("no space left")
        return write_picture(folder, name, image, source)

    monkeypatch.setattr("keras_simplepose.prediction.stream.write_picture", write)
    source = open_source(str(tmp_path / "in"))
    summary = predict_source(source, predictor, whole, tmp_path / "out", progress=False)
    assert len(read_json(tmp_path / "out" / "poses.json")) == 3 and len(summary.faults) == 1
    assert "img12.png" in summary.faults[0] and "no space left" in summary.faults[0]
    assert sorted(path.name for path in (tmp_path / "out" / "drawings").glob("*.png")) == ["img1.png", "img2.png"]

    def draw(image, poses):
        raise ValueError("cannot")

    monkeypatch.setattr("keras_simplepose.prediction.stream.draw_poses", draw)
    summary = predict_source(source, predictor, whole, tmp_path / "undrawn", progress=False)
    assert len(read_json(tmp_path / "undrawn" / "poses.json")) == 3 and len(summary.faults) == 3


def test_a_video_that_cannot_be_drawn_on_keeps_its_poses(tmp_path, predictor, monkeypatch):
    write_video(tmp_path / "clip.mp4", 6)
    calls = []

    def write(video, image, seconds):
        calls.append(seconds)
        if len(calls) == 3:
            raise UserError("no space left")
        original(video, image, seconds)

    original = VideoFile.write
    monkeypatch.setattr(VideoFile, "write", write)
    source = open_source(str(tmp_path / "clip.mp4"))
    summary = predict_source(source, predictor, whole, tmp_path / "out", progress=False)
    assert len(calls) == 3 and len(summary.faults) == 1 and summary.drawings is None
    assert len(read_json(tmp_path / "out" / "poses.json")) == 6 and not (tmp_path / "out" / "clip.mp4").exists()


def test_the_table_holds_the_times_of_a_video(tmp_path, model):
    write_video(tmp_path / "clip.mp4", 5, rate=10)
    assert run(model, tmp_path / "clip.mp4", tmp_path / "out", draw=False) == 0
    seconds = [float(row["seconds"]) for row in read_csv(tmp_path / "out" / "poses.csv")]
    assert seconds == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_boxes_of_frames_that_never_come_are_a_fault(tmp_path, model, capsys):
    write_video(tmp_path / "clip.mp4", 5)
    values = [{"image_id": i, "category_id": 0, "bbox": [1, 1, 30, 30], "score": 0.5} for i in (1, 5)]
    (tmp_path / "boxes.json").write_text(json.dumps(values))
    assert run(model, tmp_path / "clip.mp4", tmp_path / "out", "", boxes=str(tmp_path / "boxes.json")) == 1
    assert "has boxes of 5, and the video has no such frame" in capsys.readouterr().err
    entries = read_json(tmp_path / "out" / "poses.json")
    assert [(entry["image_id"], entry["category_id"]) for entry in entries] == [(1, 0)]


def test_what_was_passed_over_and_turned_is_said(tmp_path, model, capsys):
    image_file(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "in" / "b.jpg", exif=exif)
    assert run(model, tmp_path / "in", tmp_path / "out") == 0
    output = capsys.readouterr()
    assert "passed over, being no pictures: 1 .txt" in output.out
    assert "warning: 1 images carry an EXIF orientation: 1 as displayed" in output.err
    assert cv2.imread(str(tmp_path / "out" / "drawings" / "b.jpg")).shape == (30, 20, 3)


@pytest.mark.slow
def test_the_command_ends_with_one_line_and_a_status(tmp_path):
    arguments = ["--model=missing.keras", f"--input={tmp_path}", f"--output={tmp_path / 'out'}", "--detector=none"]
    run = subprocess.run([sys.executable, "-m", "keras_simplepose.predict", *arguments], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.splitlines()[-1].startswith(f"error: {tmp_path}: no image")
