"""Files with a person detector inside: from a photograph to everybody's pose."""

import json
import zipfile

import cv2
import keras
import numpy as np
import pytest
from export_models import small_model

from keras_simplepose import UserError, build_person_detector
from keras_simplepose.config import DetectorConfig, EvaluationConfig, ExportConfig, ProofConfig
from keras_simplepose.core.oks import pose_scores
from keras_simplepose.detection.detectors import load_detector
from keras_simplepose.exporting import tflite
from keras_simplepose.exporting.exporter import export
from keras_simplepose.models.files import save_model
from keras_simplepose.models.person_detector import set_threshold
from keras_simplepose.prediction.exported_model import METADATA_NAME, tflite_signature
from keras_simplepose.prediction.predictor import PosePredictor

MOST = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pose network and a detector of random weights that sees persons in most places."""
    folder = tmp_path_factory.mktemp("persons")
    save_model(small_model(), folder / "pose.keras")
    keras.utils.set_random_seed(1)
    detector = build_person_detector("mobilenetv2", alpha=0.35, input_size=(64, 96), deconv_filters=(8, 8, 8))
    last = detector.get_layer("final_layer")
    last.set_weights([300 * last.get_weights()[0], last.get_weights()[1]])
    set_threshold(detector, 0.1)
    save_model(detector, folder / "detector.keras")
    (folder / "photographs").mkdir()
    for seed in range(3):
        cv2.imwrite(str(folder / "photographs" / f"{seed}.png"), smooth(seed))
    return folder


def smooth(seed):
    """A photograph [128, 192, 3] uint8 without anything flat, where cells tie and noise says which is the peak."""
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), np.uint8)
    return cv2.resize(coarse, (192, 128), interpolation=cv2.INTER_CUBIC)


def configuration(folder, output, **options):
    return ExportConfig(
        model=str(folder / "pose.keras"),
        output=str(output),
        with_detector=True,
        detector=str(folder / "detector.keras"),
        most_persons=MOST,
        **options,
    )


@pytest.fixture(scope="module")
def exported(folder):
    proof = ProofConfig(proof_images=str(folder / "photographs"), proof_count=3)
    rows = export(configuration(folder, folder / "out"), proof, show=lambda text: None)
    return folder / "out", {(row.artefact, row.signature): row for row in rows}


@pytest.mark.slow
def test_every_signature_is_proven(exported):
    _, rows = exported
    names = [f"{name}{loader}" for name in ("persons", "persons_image") for loader in ("", "@session")]
    wanted = {("savedmodel/1", name) for name in names} | {("persons_float32.tflite", "persons_image")}
    for artefact, signature in wanted:
        boxes, keypoints = rows[artefact, f"{signature} boxes"], rows[artefact, signature]
        assert boxes.compared >= 3 and boxes.largest < 0.01 and keypoints.largest < 0.01
        assert keypoints.compared > 0.5 * keypoints.points


@pytest.mark.slow
def test_a_file_gives_what_prediction_gives(exported, folder):
    output, _ = exported
    image = smooth(0)
    persons = load_detector(DetectorConfig(detector=str(folder / "detector.keras")))(image)
    poses = PosePredictor.load(folder / "pose.keras", EvaluationConfig(nms="none"))(image, persons.boxes[:MOST])
    found = tflite_signature(output / "persons_float32.tflite", "persons_image")(image=image)
    assert found["keypoints"].shape == (MOST, 17, 3) and len(persons) >= MOST
    np.testing.assert_allclose(found["boxes"], persons.boxes[:MOST], atol=1e-2)
    np.testing.assert_allclose(found["box_scores"], persons.scores[:MOST], atol=1e-4)
    assert np.median(np.abs(found["keypoints"][..., :2] - poses.keypoints[..., :2])) < 0.01
    wanted = pose_scores(persons.scores[:MOST], poses.keypoints[..., 2], EvaluationConfig().keypoint_threshold)
    np.testing.assert_allclose(found["scores"], wanted, atol=1e-3)
    # Where there is nobody, all is zero.
    nobody = tflite_signature(output / "persons_float32.tflite", "persons_image")(image=np.zeros((9, 7, 3), np.uint8))
    absent = nobody["box_scores"] == 0
    assert all(not np.any(value[absent]) for value in nobody.values())


@pytest.mark.slow
def test_a_file_says_what_is_inside(exported):
    with zipfile.ZipFile(exported[0] / "persons_float32.tflite") as archive:
        values = json.loads(archive.read(METADATA_NAME))["persons"]
    assert values == {"input_size": [64, 96], "threshold": 0.1, "overlap": 0.65, "most_persons": MOST}
    assert json.loads((exported[0] / "savedmodel/1/assets" / METADATA_NAME).read_text())["persons"] == values


def test_what_cannot_be_put_together_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="quantize none and float16 alone"):
        export(configuration(folder, tmp_path / "out", format=("tflite",), quantize=("dynamic",)))
    wrong = ExportConfig(
        model=str(folder / "pose.keras"), output=str(tmp_path / "out"), with_detector=True, detector="yolox_nano"
    )
    with pytest.raises(UserError, match="a file can hold person_detector or a .keras file"):
        export(wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_anybody_nothing_is_proven(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "write_persons_tflite", lambda model, finder, path, metadata: path.touch())
    config = configuration(folder, tmp_path / "out", format=("tflite",), detector_threshold=1.0)
    with pytest.raises(UserError, match="finds nobody in the photographs of the proof"):
        export(config, ProofConfig(proof_count=1), show=lambda text: None)
    assert list(tmp_path.iterdir()) == []
