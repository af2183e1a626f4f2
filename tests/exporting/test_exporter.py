import dataclasses
import errno
import json
import shutil
import tempfile
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from export_models import random_crops, settled, small_model

from keras_simplepose import UserError, build_pose_model, load_model, pose_spec, save_model
from keras_simplepose.config import (
    AugmentationConfig,
    EvaluationConfig,
    ExportConfig,
    ModelConfig,
    PrepareConfig,
    ProofConfig,
)
from keras_simplepose.data.preparation import prepare
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset
from keras_simplepose.exporting import exporter
from keras_simplepose.exporting import onnx as export_onnx
from keras_simplepose.exporting.examples import calibration_crops, crops_of, drawn_photographs, read_photographs
from keras_simplepose.exporting.exporter import export, in_float32
from keras_simplepose.exporting.proof import NOISE, Reference, compare, faults, make_reference
from keras_simplepose.exporting.saved_model import next_version
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.models.cpn import build_cpn
from keras_simplepose.models.hourglass import build_hourglass
from keras_simplepose.models.visibility import visibility_head, with_visibility
from keras_simplepose.prediction.predictor import PosePredictor


def test_the_report_holds_every_signature_within_its_limits(exported):
    report = json.loads((exported / "exported" / exporter.REPORT).read_text())
    seen = {(row["artefact"], row["signature"]) for row in report["comparisons"]}
    signatures = ("serving_default", "image", "crops", "crops_uint8", "heatmaps")
    loaders = ("", "@session")
    assert seen == {("savedmodel/1", name + loader) for name in signatures for loader in loaders} | {
        ("pose_float32.tflite", "crops"),
        ("pose_float32.tflite", "image"),
        ("pose.onnx", "crops"),
    }
    for row in report["comparisons"]:
        assert row["largest"] <= 0.01 and row["score"] <= NOISE and row["bytes"] > 1e6
        assert row["compared"] > 0.8 * row["points"]
    assert len(report["model_sha256"]) == 64


SMALL = {"input_size": (64, 64), "features": 16}


def with_head(model):
    """The model with a visibility head of drawn weights."""
    headed = with_visibility(model, "labelled")
    random = np.random.default_rng(0)
    for weight in headed.get_layer("visibility_logits").weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    visibility_head(headed).temperature.assign(1.5)
    return headed


NETWORKS = {
    "visibility": lambda: with_head(small_model()),
    "visibility of rows": lambda: with_head(small_model(codec="simcc")),
    "visibility of stages": lambda: with_head(settled(build_hourglass(2, **SMALL), "stacks.1.heatmaps")),
    "dark": lambda: small_model(codec="dark"),
    "udp": lambda: small_model(codec="udp"),
    "simcc": lambda: small_model(codec="simcc"),
    "hourglass": lambda: settled(build_hourglass(2, **SMALL), "stacks.1.heatmaps"),
    "cpn": lambda: settled(build_cpn("mobilenetv2", alpha=0.35, **SMALL), "refine.final"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_codec_and_architecture_is_proven_in_every_format(name, tmp_path):
    """The converter refuses anything but built-in operators, and what leaves is the last stage's."""
    save_model(NETWORKS[name](), tmp_path / "pose.keras")
    formats = ("savedmodel", "tflite", "onnx")
    config = ExportConfig(model=str(tmp_path / "pose.keras"), output=str(tmp_path / "out"), format=formats)
    proof = ProofConfig(proof_count=3)
    rows = export(config, proof, show=lambda text: None)
    assert {row.artefact for row in rows} == {"savedmodel/1", "pose_float32.tflite", "pose.onnx"}
    for row in rows:
        assert row.largest <= proof.tolerance and row.score <= NOISE and row.compared > 0.6 * row.points, row


@pytest.mark.parametrize("codec", ["quarter_offset", "dark", "udp", "simcc"])
def test_a_network_that_differs_by_little_more_than_noise_fails(codec):
    """Steps that noise could move are left out, but enough stay to tell another network."""
    model = small_model(codec=codec)
    known = make_reference(model, drawn_photographs(3), EvaluationConfig(flip_test=False))
    random = np.random.default_rng(0)
    model.set_weights([weights * (1 + random.normal(0, 1e-3, weights.shape)) for weights in model.get_weights()])
    other = make_reference(model, known.photographs, EvaluationConfig(flip_test=False))
    row = compare(known, answer(other), None, **ROW)
    assert row.compared > 0.6 * row.points and row.largest > ProofConfig().tolerance
    assert "keypoint" in faults(row, ProofConfig(), None)[0]
    assert not faults(compare(known, answer(known), None, **ROW), ProofConfig(), None)


@pytest.mark.slow
def test_another_decoding_goes_into_the_artefact(tmp_path):
    model = small_model()
    save_model(model, tmp_path / "pose.keras")
    config = ExportConfig(model=str(tmp_path / "pose.keras"), output=str(tmp_path / "out"), format=("tflite",))
    protocol = EvaluationConfig(decoding="dark")
    export(config, ProofConfig(proof_count=3), protocol, show=lambda text: None)
    exported = PosePredictor.load(tmp_path / "out" / "pose_float32.tflite")
    assert exported.spec.codec == "dark" and pose_spec(model).codec == "quarter_offset"


def test_variables_are_stored_once(exported):
    model = load_model(exported / "pose.keras")
    size = sum(weight.numpy().nbytes for weight in model.weights)
    data = exported / "exported/savedmodel/1/variables/variables.data-00000-of-00001"
    assert data.stat().st_size < 1.1 * size


def test_an_artefact_that_is_not_the_model_leaves_nothing_behind(exported, tmp_path, monkeypatch):
    def write_another(model, path, metadata):
        other = small_model(seed=8)
        write(other, path, metadata)

    write = export_onnx.write_onnx
    monkeypatch.setattr(export_onnx, "write_onnx", write_another)
    config = ExportConfig(model=str(exported / "pose.keras"), output=str(tmp_path / "out"), format=("onnx",))
    shown = []
    with pytest.raises(UserError, match=r"pose\.onnx, crops.*nothing was exported"):
        export(config, ProofConfig(proof_count=2), show=shown.append)
    assert "pose.onnx" in shown[0] and list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_what_was_there(exported, tmp_path, monkeypatch):
    (tmp_path / "pose.onnx").write_text("earlier")
    monkeypatch.setattr(export_onnx, "write_onnx", lambda *arguments: (_ for _ in ()).throw(UserError("no")))
    config = ExportConfig(model=str(exported / "pose.keras"), output=str(tmp_path), format=("onnx",))
    with pytest.raises(UserError, match="no"):
        export(config)
    assert [path.name for path in tmp_path.iterdir()] == ["pose.onnx"]
    assert (tmp_path / "pose.onnx").read_text() == "earlier"


def full_of_python(model, path, *arguments):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def full_of_tensorflow(model, path, *arguments):
    raise tf.errors.ResourceExhaustedError(None, None, f"{path}; No space left on device")


@pytest.mark.parametrize("write", [full_of_python, full_of_tensorflow])
def test_a_full_disk_is_one_line_and_leaves_nothing(exported, tmp_path, monkeypatch, write):
    monkeypatch.setattr(export_onnx, "write_onnx", write)
    config = ExportConfig(model=str(exported / "pose.keras"), output=str(tmp_path / "out"), format=("onnx",))
    with pytest.raises(UserError, match="cannot write to .*out: No space left on device; free space"):
        export(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("full", ["out", tempfile.gettempdir()])
def test_a_disk_without_room_is_refused_before_anything_is_written(exported, tmp_path, monkeypatch, full):
    usage = shutil.disk_usage
    there = lambda path: usage(path)._replace(free=10**5) if str(path).endswith(full) else usage(path)  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", there)
    monkeypatch.setattr(export_onnx, "write_onnx", None)  # Not called.
    config = ExportConfig(model=str(exported / "pose.keras"), output=str(tmp_path / "out"), format=("onnx",))
    with pytest.raises(UserError, match=r"cannot write to .*: 0\.1 MB are free, .* are needed"):
        export(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("precision", [0.0, 0.25])
def test_ap_is_measured_of_every_artefact_on_persons_read_once(exported, tmp_path, monkeypatch, precision):
    from keras_simplepose.data import annotations as reader
    from keras_simplepose.evaluation import evaluator

    read, load = [], reader.load_annotations
    monkeypatch.setattr(reader, "load_annotations", lambda *arguments: read.append(1) or load(*arguments))
    metrics = types.SimpleNamespace(metrics={"AP": precision})
    monkeypatch.setattr(evaluator, "evaluate_predictor", lambda *arguments, **options: metrics)
    annotations, images = make_synthetic_dataset(tmp_path / "set", 2, 1, workers=1)
    config = ExportConfig(model=str(exported / "pose.keras"), output=str(tmp_path / "out"), format=("onnx",))
    proof = ProofConfig(proof_count=2, proof_images=str(images), proof_annotations=str(annotations))
    shown = []
    assert [row.average_precision for row in export(config, proof, show=shown.append)] == [precision]
    assert f"AP is {precision:.4f}" in shown[0] and len(read) == 1


def test_the_first_dimension_of_an_onnx_file_is_named_batch(exported):
    import onnx

    graph = onnx.load(str(exported / "exported/pose.onnx")).graph
    names = [value.type.tensor_type.shape.dim[0].dim_param for value in (*graph.input, *graph.output)]
    assert names == ["batch"] * 3


@pytest.mark.slow
def test_files_are_proven_in_openvino_when_asked(exported, tmp_path):
    pytest.importorskip("openvino")
    config = ExportConfig(model=str(exported / "pose.keras"), output=str(tmp_path / "out"), format=("tflite", "onnx"))
    proof = ProofConfig(proof_count=2, openvino=True)
    rows = {(row.artefact, row.signature): row for row in export(config, proof, show=lambda text: None)}
    for name in ("pose_float32.tflite", "pose.onnx"):
        row = rows[name, "crops@openvino"]
        assert row.largest <= 0.01 and row.score <= NOISE and row.compared > 0.8 * row.points


def test_versions_are_counted_up(tmp_path):
    assert next_version(tmp_path / "none") == 1
    for name in ("3", "11", "other"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == 12


def test_mixed_precision_is_exported_in_float32():
    arguments = {"alpha": 0.35, "input_size": (64, 64), "deconv_filters": (8,), "deconv_kernels": (4,)}
    mixed = build_pose_model("mobilenetv2", precision="mixed_bfloat16", **arguments)
    plain = in_float32(mixed)
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    assert pose_spec(plain) == pose_spec(mixed) and in_float32(plain) is plain
    for ours, theirs in zip(plain.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert keras.config.dtype_policy().name == "float32"
    np.testing.assert_allclose(plain(random_crops(1)), mixed(random_crops(1)), atol=0.1)


def reference(points=4):
    generator = np.random.default_rng(0)
    keypoints = generator.uniform(0, 60, (points, 17, 2)).astype(np.float32)
    maxima = generator.uniform(0.1, 1, (points, 17)).astype(np.float32)
    decided = np.ones((points, 17), bool)
    scale = maxima.max(axis=1)
    return Reference(
        [], np.zeros((points, 64, 64, 3)), np.zeros((points, 2, 3)), keypoints, maxima, decided, scale, 1.0
    )


def answer(known):
    return np.concatenate([known.keypoints, known.maxima[..., None]], axis=-1)


ROW = {"artefact": "a", "signature": "b", "bytes": 1, "milliseconds": 1.0}


def test_points_that_hang_on_noise_are_held_to_their_value_alone():
    known = reference()
    known.decided[2, 5] = False
    moved = answer(known)
    moved[2, 5, 0] += 8
    row = compare(known, moved, None, **ROW)
    assert row.largest == 0 and row.compared == row.points - 1 and not faults(row, ProofConfig(), None)
    moved[2, 5, 2] += 0.01
    assert "heatmap value" in faults(compare(known, moved, None, **ROW), ProofConfig(), None)[0]


@pytest.mark.parametrize("wrong", [0.02, np.nan, np.inf])
def test_a_decided_point_that_moved_is_a_fault(wrong):
    known = reference()
    moved = answer(known)
    moved[1, 3, 1] += wrong
    row = compare(known, moved, None, **ROW)
    assert "keypoint" in faults(row, ProofConfig(), None)[0]
    assert not faults(compare(known, answer(known), None, **ROW), ProofConfig(), None)


def test_nothing_decided_is_nothing_proven():
    known = reference()
    known.decided[:] = False
    assert "nothing is proven" in faults(compare(known, answer(known), None, **ROW), ProofConfig(), None)[0]


def test_quantised_files_have_a_mean_of_confident_points_or_an_ap_to_keep():
    known = reference()
    moved = answer(known)
    moved[known.maxima <= 0.2] += 50
    assert not faults(compare(known, moved, 0.2, **ROW), ProofConfig(), None)
    moved[..., 0] += 3
    row = compare(known, moved, 0.2, **ROW)
    assert row.mean == pytest.approx(3, abs=1e-3)
    assert "quantized_tolerance" in faults(row, ProofConfig(), None)[0]
    with_ap = dataclasses.replace(row, average_precision=0.495)
    assert not faults(with_ap, ProofConfig(), 0.5)
    assert "maximum_ap_loss" in faults(with_ap, ProofConfig(), 0.51)[0]


def test_examples_come_from_drawings_images_and_annotations(tmp_path):
    spec = pose_spec(small_model())
    drawn = drawn_photographs(5)
    assert 5 <= sum(len(photograph.boxes) for photograph in drawn) < 10
    crops, matrices = crops_of(drawn, spec)
    assert crops.shape[1:] == (64, 64, 3) and matrices.shape == (len(crops), 2, 3) and crops.std() > 10
    annotations, images = make_synthetic_dataset(tmp_path / "set", 3, 1, workers=1)
    boxed = read_photographs(str(images), str(annotations), spec, 4, ImageReading())
    whole = read_photographs(str(images), "", spec, 2, ImageReading())
    assert len(whole) == 2 and whole[0].boxes.tolist() == [[0, 0, 320, 240]]
    assert boxed[0].boxes.shape[1] == 4 and boxed[0].boxes[0].tolist() != [0, 0, 320, 240]
    assert calibration_crops(str(images), str(annotations), spec, 3, ImageReading()).shape == (3, 64, 64, 3)
    with pytest.raises(UserError, match="no images"):
        read_photographs(str(tmp_path), "", spec, 2, ImageReading())


def test_prepared_patches_calibrate_with_the_crops_of_their_images(tmp_path):
    spec = pose_spec(small_model())
    annotations, images = make_synthetic_dataset(tmp_path / "set", 3, 1, workers=1)
    sources = PrepareConfig(str(annotations), str(images), str(tmp_path / "prepared"), workers=1)
    prepare(sources, ModelConfig(input_size=spec.input_size), AugmentationConfig(), progress=False)
    prepared = calibration_crops(str(tmp_path / "prepared"), "", spec, 100, ImageReading())
    direct = calibration_crops(str(images), str(annotations), spec, 100, ImageReading())
    assert prepared.shape == direct.shape
    # In an order of their own; JPEG, and for large persons a second resampling, change the pixels a little.
    difference = np.abs(prepared[:, None] - direct).mean(axis=(2, 3, 4))
    assert sorted(difference.argmin(axis=1)) == list(range(len(direct))) and difference.min(axis=1).max() < 12
    with pytest.raises(UserError, match="prepared for inputs of"):
        calibration_crops(str(tmp_path / "prepared"), "", pose_spec(small_model((96, 64))), 3, ImageReading())
