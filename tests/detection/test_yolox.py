import sys
import types

import cv2
import numpy as np
import pytest

from keras_simplepose.config import DetectorConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_persons
from keras_simplepose.detection.boxes import keep_best
from keras_simplepose.detection.data_set import detect_data_set
from keras_simplepose.detection.detectors import load_detector
from keras_simplepose.detection.keras_hub import KerasHubDetector
from keras_simplepose.detection.yolox import decode_yolox
from keras_simplepose.evaluation.box_metrics import recall_curve
from keras_simplepose.media.letterbox import letterbox
from keras_simplepose.utils.errors import UserError


def test_letterbox_keeps_the_aspect_ratio():
    image = np.full((100, 300, 3), 7, np.uint8)
    canvas, factor = letterbox(image, (416, 416))
    assert canvas.shape == (416, 416, 3) and factor == pytest.approx(416 / 300)
    assert (canvas[:138] == 7).all() and (canvas[139:] == 114).all()
    assert letterbox(np.zeros((1, 5000, 3), np.uint8), (64, 64))[0].shape == (64, 64, 3)


def encode_yolox(boxes, size, classes=80):
    """The obvious inverse of decoding: each box (x, y, width, height, stride, class, objectness, class score)."""
    rows, starts = [], {}
    for stride in (8, 16, 32):
        starts[stride] = len(rows)
        rows += [[0.5, 0.5, 0, 0, 0] + [0] * classes for _ in range((size // stride) ** 2)]
    for x, y, width, height, stride, kind, objectness, score in boxes:
        column, row = int((x + width / 2) // stride), int((y + height / 2) // stride)
        entry = rows[starts[stride] + row * (size // stride) + column]
        entry[0], entry[1] = (x + width / 2) / stride - column, (y + height / 2) / stride - row
        entry[2], entry[3], entry[4], entry[5 + kind] = (
            np.log(width / stride),
            np.log(height / stride),
            objectness,
            score,
        )
    return np.array(rows, np.float32)


def test_decoding_gives_back_what_was_encoded():
    boxes = [(10, 20, 30, 60, 8, 0, 0.9, 0.5), (100, 3, 55, 200, 16, 0, 0.6, 1.0), (50, 90, 300, 310, 32, 7, 1.0, 0.8)]
    decoded, scores = decode_yolox(encode_yolox(boxes, 416), 416)
    assert decoded.shape == (3549, 4) and scores.shape == (3549, 80)
    found = {(row, kind): scores[row, kind] for row, kind in np.argwhere(scores > 0)}
    assert sorted(round(float(score), 4) for score in found.values()) == [0.45, 0.6, 0.8]
    for x, y, width, height, _, kind, objectness, score in boxes:
        row = next(
            row for (row, other), value in found.items() if other == kind and np.isclose(value, objectness * score)
        )
        np.testing.assert_allclose(decoded[row], (x, y, width, height), rtol=1e-4, atol=1e-3)


def test_suppression_keeps_the_best_of_overlapping_boxes():
    boxes = np.array([[0, 0, 10, 20], [1, 0, 10, 20], [50, 0, 10, 20], [0, 0, 0, 5], [9, 9, 9, np.nan]], np.float32)
    scores = np.array([0.6, 0.9, 0.3, 1, 1], np.float32)
    kept = keep_best(boxes, scores, threshold=0.3, overlap=0.5)
    assert kept.boxes[:, 0].tolist() == [1, 50] and kept.scores == pytest.approx([0.9, 0.3])
    assert len(keep_best(boxes, scores, 0.0, 0.95)) == 3
    assert len(keep_best(boxes[:0], scores[:0], 0.3, 0.5)) == 0 and kept.boxes.dtype == np.float32


def test_the_whole_image_is_one_person():
    found = load_detector(DetectorConfig(detector="none"))(np.zeros((30, 40, 3), np.uint8))
    assert found.boxes.tolist() == [[0, 0, 40, 30]] and found.scores.tolist() == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "missing.onnx"}, "no such detector"),
        ({"detector": "junk.onnx"}, "not an ONNX file"),
        ({"detector": "yolo"}, "detector 'yolo' is unknown; the nearest are yolox_"),
    ],
)
def test_wrong_detectors_are_named(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk.onnx").write_bytes(b"no network at all")
    with pytest.raises(UserError, match=message):
        load_detector(DetectorConfig(**options))


class HubModel:
    """What KerasHub's object detectors look like from outside."""

    def __init__(self, box_format, boxes, num_classes=91, image_size=(200, 400)):
        self.bounding_box_format, self.num_classes, self.boxes = box_format, num_classes, boxes
        self.prediction_decoder = types.SimpleNamespace(confidence_threshold=0.5, iou_threshold=0.5)
        self.preprocessor = types.SimpleNamespace(image_converter=types.SimpleNamespace(image_size=image_size))

    def predict(self, images, verbose):
        self.seen = images
        padding = np.full((2, 4), -1.0)
        return {
            "boxes": np.concatenate([self.boxes, padding])[None],
            "labels": np.array([[1, 3, -1, -1]]),
            "confidence": np.array([[0.9, 0.8, -1, -1]]),
            "num_detections": np.array([2]),
        }


@pytest.mark.parametrize(
    ("box_format", "box"),
    [
        ("xyxy", (40, 20, 120, 180)),
        ("yxyx", (20, 40, 180, 120)),
        ("xywh", (40, 20, 80, 160)),
        ("center_xywh", (80, 100, 80, 160)),
        ("rel_yxyx", (0.1, 0.1, 0.9, 0.3)),
    ],
)
def test_keras_hub_boxes_come_back_in_image_pixels(box_format, box):
    """The canvas is 400×200 and the image 200×100, so a box (40, 20, 80, 160) there is (20, 10, 40, 80) here."""
    model = HubModel(box_format, np.array([box, box], np.float64))
    detector = KerasHubDetector(model, DetectorConfig(detector_threshold=0.1, detector_overlap=0.6))
    found = detector(np.full((100, 200, 3), 50, np.uint8))
    np.testing.assert_allclose(found.boxes, [[20, 10, 40, 80]], atol=1e-4)
    assert found.scores == pytest.approx([0.9])  # Label 3 is no person.
    assert model.seen.shape == (1, 200, 400, 3) and (model.seen == 50).all()
    assert (model.prediction_decoder.confidence_threshold, model.prediction_decoder.iou_threshold) == (0.1, 0.6)


def test_keras_hub_class_numbers():
    box = np.array([[0, 0, 9, 9.0]] * 2)
    image = np.zeros((200, 400, 3), np.uint8)
    assert len(KerasHubDetector(HubModel("xywh", box, 80), DetectorConfig(person_class=3))(image)) == 1
    assert len(KerasHubDetector(HubModel("xywh", box, 80), DetectorConfig())(image)) == 0
    with pytest.raises(UserError, match="person_class"):
        KerasHubDetector(HubModel("xywh", box, 20), DetectorConfig())


def test_without_keras_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UserError, match=r"keras_simplepose\[detect\]"):
        load_detector(DetectorConfig(detector="keras_hub:retinanet_resnet50_fpn_coco"))


def test_an_unknown_preset_is_an_error_in_one_line(monkeypatch):
    class ObjectDetector:
        @staticmethod
        def from_preset(preset):
            raise ValueError(f"Unknown preset {preset}\nlong explanation")

    hub = types.SimpleNamespace(models=types.SimpleNamespace(ObjectDetector=ObjectDetector))
    monkeypatch.setitem(sys.modules, "keras_hub", hub)
    with pytest.raises(UserError, match="Unknown preset nothing$"):
        load_detector(DetectorConfig(detector="keras_hub:nothing"))


@pytest.mark.slow
def test_a_real_network_finds_real_people(shared_data):
    """Recall of persons of at least 64 pixels at IoU 0.5; the AP of all is what shows boxes a few pixels off."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations = shared_data / "annotations" / "person_keypoints_val.json"
    weights = shared_data / "weights" / "yolox_nano_416.onnx"
    detector = load_detector(DetectorConfig(detector=str(weights), detector_threshold=0.05))
    person_set = load_persons(annotations, COCO17, labelled_only=False)
    summary = detect_data_set(person_set, shared_data / "images" / "val", detector, progress=False)
    curve = recall_curve(person_set, summary.detections)
    assert (curve.persons, curve.persons_all) == (320, 426) and curve.at(0.05).recall > 0.88
    assert curve.at(0.05).false_boxes < 5
    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes(summary.to_json(1)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] > 0.4


def test_a_file_that_is_no_yolox_is_refused(shared_data):
    weights = shared_data / "weights" / "ultralight_nano_simplepose.onnx"
    with pytest.raises(UserError, match="does not run|where a YOLOX"):
        load_detector(DetectorConfig(detector=str(weights)))


def test_a_real_file_reads_colours_and_sizes(shared_data):
    weights = str(shared_data / "weights" / "yolox_nano_416.onnx")
    name = "000000021167.jpg"
    image = cv2.cvtColor(cv2.imread(str(shared_data / "images" / "val" / name)), cv2.COLOR_BGR2RGB)
    small = load_detector(DetectorConfig(detector=weights))(image)
    large = load_detector(DetectorConfig(detector=weights, detector_size=640))(image)
    assert len(small) == len(large) == 2
    assert np.abs(small.boxes[np.argsort(small.boxes[:, 0])] - large.boxes[np.argsort(large.boxes[:, 0])]).max() < 40
    with pytest.raises(UserError, match="80 classes"):
        load_detector(DetectorConfig(detector=weights, person_class=80))
