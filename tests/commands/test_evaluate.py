import json
import os
import shutil
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest
from pose_data import SPEC, write_data_set

from keras_simplepose import evaluate
from keras_simplepose.config import CodecConfig, EvaluationConfig, EvaluationDataConfig
from keras_simplepose.core.skeletons import COCO17, MPII16
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.coco import load_persons
from keras_simplepose.evaluation.coco_metrics import METRICS, keypoint_metrics
from keras_simplepose.evaluation.metrics_file import format_table
from keras_simplepose.flags import CommandLine, run_command
from keras_simplepose.models.layers import Heatmaps
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import file_hash


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A data set, detections of it, and a model that finds something."""
    folder = tmp_path_factory.mktemp("original")
    values = write_data_set(folder)
    keys = ("image_id", "category_id", "bbox")
    detections = [{key: entry[key] for key in keys} | {"score": 0.5} for entry in values["annotations"]]
    (folder / "detections.json").write_text(json.dumps([*detections, detections[0] | {"score": 0.1}]))
    keras.utils.set_random_seed(0)
    crops = keras.Input((*SPEC.input_size, 3))
    x = keras.layers.Conv2D(17, 7, 4, padding="same")(keras.layers.Rescaling(1 / 255)(crops))
    keras.Model(crops, Heatmaps(SPEC)(x)).save(folder / "model.keras")
    return folder


@pytest.fixture
def data(original, tmp_path):
    return shutil.copytree(original, tmp_path / "data")


def configurations(data, *flags, model=True):
    paths = {"annotations": "annotations.json", "images": "images"} | ({"model": "model.keras"} if model else {})
    given = [f"--{flag}={data / name}" for flag, name in paths.items()]
    return CommandLine("evaluate", "", EvaluationDataConfig, EvaluationConfig, CodecConfig).read([*given, *flags])


def run(data, *flags, **options):
    evaluate.main(*configurations(data, *flags, **options))


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_metrics_and_results_are_written_beside_the_model(data, capsys):
    run(data)
    output = data / "model-evaluation"
    assert sorted(path.name for path in output.iterdir()) == [".keras_simplepose", "metrics.json", "results.json"]
    written = metrics_of(output)
    results = json.loads((output / "results.json").read_text())
    assert written["metrics"] == keypoint_metrics(
        load_persons(data / "annotations.json", COCO17), results, COCO17.sigmas
    )
    assert written["counts"]["persons"] == 6 and written["skipped"] == []
    printed = capsys.readouterr().out
    assert "OKS, ground-truth boxes: 3 images" in printed and "AP75" in printed
    assert str(output / "metrics.json") in printed and str(output / "results.json") in printed


def test_the_provenance_names_all_the_metrics_depend_on(data):
    flags = ["--noflip_test", "--nms=soft", "--nms_threshold=0.8", "--minimum_box_score=0.2"]
    run(data, f"--detections={data / 'detections.json'}", f"--output={data / 'out'}", *flags)
    written = metrics_of(data / "out")
    provenance = written["provenance"]
    assert provenance["boxes"] == "detector"
    for name in ("model.keras", "annotations.json", "detections.json"):
        described = provenance["files"][name.split(".")[0]]
        assert described == {"path": str(data / name), "sha256": file_hash(data / name)}
    protocol = provenance["protocol"]
    assert (protocol["flip_test"], protocol["nms"], protocol["nms_threshold"]) == (False, "soft", 0.8)
    assert protocol["flip_shift"] and protocol["keypoint_threshold"] == 0.2 and protocol["evaluation_batch_size"] == 64
    assert provenance["network"]["input_size"] == [64, 48] and provenance["network"]["skeleton"] == "coco17"
    assert {"keras_simplepose", "tensorflow", "keras", "pycocotools"} < set(provenance["versions"])
    assert provenance["results_sha256"] == file_hash(data / "out" / "results.json")
    assert written["counts"]["boxes_below_minimum_score"] == 1 and written["counts"]["boxes"] == 6


def test_what_was_estimated_and_left_out_is_printed_and_written(data, capsys):
    values = json.loads((data / "annotations.json").read_text())
    for entry in values["annotations"][:2]:
        entry["area"] = 0
    values["annotations"][2]["iscrowd"] = 1
    (data / "annotations.json").write_text(json.dumps(values))
    detections = json.loads((data / "detections.json").read_text())
    detections[0]["category_id"] = 3
    (data / "detections.json").write_text(json.dumps(detections))
    run(data, f"--detections={data / 'detections.json'}", f"--output={data / 'out'}")
    summary = "5 persons; 2 areas estimated from boxes; 1 left out (crowd)"
    written = metrics_of(data / "out")
    assert written["annotations"] == summary and written["annotations_left_out"] == {"crowd": 1}
    assert written["annotations_estimated"] == {"areas estimated from boxes": 2}
    assert written["counts"]["boxes_of_other_categories_left_out"] == 1
    printed = capsys.readouterr().out
    assert f"annotations: {summary}\n" in printed and "1 boxes of other categories left out" in printed


@pytest.mark.parametrize(
    ("flag", "change"),
    [
        ("trust_keypoint_order", lambda values: values["categories"][0]["keypoints"].reverse()),
        ("boxes_from_keypoints", lambda values: values["annotations"][0].pop("bbox")),
    ],
)
def test_the_annotations_flags(data, capsys, flag, change):
    edit("annotations.json", change)(data)
    run(data, "--codec_only", f"--{flag}")
    assert "as told" in capsys.readouterr().out or flag == "boxes_from_keypoints"
    assert metrics_of(data / "model-evaluation")["provenance"]["protocol"][flag] is True


def test_the_codecs_ceiling_needs_no_model_and_no_images(data, capsys):
    shutil.rmtree(data / "images")
    flags = [f"--annotations={data / 'annotations.json'}", "--codec_only", f"--output={data / 'out'}"]
    command_line = CommandLine("evaluate", "", EvaluationDataConfig, EvaluationConfig, CodecConfig)
    evaluate.main(*command_line.read([*flags, "--input_size=128,96", "--sigma=1.5"]))
    written = metrics_of(data / "out")
    assert 0.8 < written["metrics"]["AP"] <= 1
    network = written["provenance"]["network"]
    assert (network["input_size"], network["heatmap_size"], network["sigma"]) == ([128, 96], [32, 24], 1.5)
    assert "codec's ceiling" in capsys.readouterr().out


def test_the_ceilings_of_all_codecs_are_a_table(data, capsys):
    flags = [f"--annotations={data / 'annotations.json'}", "--codec_only", "--ceiling_table"]
    evaluate.main(*CommandLine("evaluate", "", EvaluationDataConfig, EvaluationConfig, CodecConfig).read(flags))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["quarter_offset", size] for size in ("128×96", "256×192", "384×288")
    ]
    assert lines[-1].startswith("nothing written") and len(lines) == 15


def test_the_codecs_ceiling_of_a_model_has_its_frame(data, capsys):
    run(data, "--codec_only")
    assert metrics_of(data / "model-evaluation")["provenance"]["network"]["input_size"] == [64, 48]


def test_without_model_and_output_nothing_is_written(data, capsys, monkeypatch):
    monkeypatch.chdir(data)
    before = sorted(data.rglob("*"))
    run(data, "--codec_only", model=False)
    assert sorted(data.rglob("*")) == before
    assert "--output" in capsys.readouterr().out


def test_pckh_is_measured(tmp_path, capsys):
    write_data_set(tmp_path, skeleton=MPII16, head_boxes=True)
    spec = PoseSpec(MPII16, SPEC.input_size, SPEC.heatmap_size, 2.0)
    crops = keras.Input((*spec.input_size, 3))
    keras.Model(crops, Heatmaps(spec)(keras.layers.Conv2D(16, 4, 4)(crops))).save(tmp_path / "model.keras")
    run(tmp_path, "--metric=pckh")
    metrics = metrics_of(tmp_path / "model-evaluation")["metrics"]
    assert 0 <= metrics["PCKh"] <= 100 and "left_wrist" in metrics
    assert "PCKh@0.1" in capsys.readouterr().out


def test_skipped_images_are_listed(data, capsys):
    (data / "images" / "2.png").write_bytes(b"")
    run(data, "--skip_damaged")
    written = metrics_of(data / "model-evaluation")
    assert len(written["skipped"]) == written["counts"]["images_skipped"] == 1
    assert "images skipped: 1" in (printed := capsys.readouterr().out) and "2.png" in printed


def damage(name, content):
    return lambda data: (data / name).write_bytes(content)


def edit(name, change):
    def apply(data):
        values = json.loads((data / name).read_text())
        change(values)
        (data / name).write_text(json.dumps(values))

    return apply


def nothing(data):
    pass


FAULTS = {
    "no model": (lambda data: (data / "model.keras").unlink(), [], "model.keras: no such"),
    "model of no kind": (damage("model.keras", b"PK no zip"), [], "model.keras: not a Keras model"),
    "no annotations": (lambda data: (data / "annotations.json").unlink(), [], "annotations.json: no such file"),
    "faulty annotations": (damage("annotations.json", b"{"), [], "annotations.json: not valid JSON at line 1"),
    "no image": (lambda data: (data / "images" / "1.png").unlink(), [], "1.png.*skip_damaged"),
    "empty image": (damage("images/3.png", b""), [], "3.png.*empty"),
    "image of another size": (
        edit("annotations.json", lambda values: values["images"][0].update(height=121)),
        [],
        "1.png.*200×120; its record says 200×121",
    ),
    "keypoints of another length": (
        edit("annotations.json", lambda values: values["annotations"][2].update(keypoints=[0] * 48)),
        [],
        "annotation 3: keypoints holds 48",
    ),
    "detections of another image": (
        edit("detections.json", lambda values: values[1].update(image_id=99)),
        ["--detections=detections.json"],
        "detection 1 is of image 99",
    ),
    "negative detection": (
        edit("detections.json", lambda values: values[1].update(bbox=[0, 0, -5, 5])),
        ["--detections=detections.json"],
        "detection 1.*negative",
    ),
    "no detections": (nothing, ["--detections=absent.json"], "absent.json: no such file"),
    "no head boxes": (nothing, ["--metric=pckh"], "lacks head_box"),
    "no images folder": (nothing, ["--images=absent"], "absent: no such folder"),
    "images are missing": (nothing, ["--images="], "--images is missing"),
    "frame of a model": (nothing, ["--input_size=128,96"], "with --codec_only, without --model"),
    "score without detections": (nothing, ["--minimum_box_score=0.5"], "only with --detections"),
    "detections for the codec": (nothing, ["--codec_only", "--detections=detections.json"], "--codec_only"),
    "batch of nothing": (nothing, ["--evaluation_batch_size=0"], "--evaluation_batch_size is 0"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_one_line_and_leave_nothing(data, name, monkeypatch):
    prepare, flags, named = FAULTS[name]
    prepare(data)
    monkeypatch.chdir(data)
    with pytest.raises(UserError, match=named) as caught:
        run(data, *flags)
    assert "\n" not in str(caught.value)
    assert not list((data / "model-evaluation").glob("*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is write-protected for root")
def test_a_write_protected_place_is_named(data):
    data.chmod(0o500)
    with pytest.raises(UserError, match="cannot write to .*model-evaluation"):
        run(data)


def test_an_output_that_is_a_file_stops_before_the_work(data):
    (data / "out").write_text("")
    (data / "images" / "1.png").unlink()  # Which would be found later.
    with pytest.raises(UserError, match="cannot write to .*out"):
        run(data, f"--output={data / 'out'}")


def test_errors_are_one_line_on_standard_error_and_status_1(data, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["evaluate", "--model=absent.keras", f"--annotations={data / 'annotations.json'}"])
    with pytest.raises(SystemExit) as caught:
        run_command(evaluate.main, "evaluate", "", EvaluationDataConfig, EvaluationConfig, CodecConfig)
    output = capsys.readouterr()
    assert caught.value.code == 1
    assert output.err == "error: --images is missing: folder of the images (needed without --codec_only)\n"
    assert output.out == ""


@pytest.mark.slow
def test_the_command_runs_as_a_module(data):
    command = [sys.executable, "-m", "keras_simplepose.evaluate", f"--annotations={data / 'annotations.json'}"]
    done = subprocess.run([*command, "--codec_only"], capture_output=True, text=True)
    assert done.returncode == 0 and "AP50" in done.stdout
    done = subprocess.run([*command, "--model=absent.keras", "--images=" + str(data)], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("error: absent.keras: no such")


def test_tables_hold_every_metric_and_a_dash_for_what_nobody_has():
    metrics = dict.fromkeys(METRICS, 0.5) | {"AP": 0.70449}
    del metrics["APL"]
    names, values = format_table(metrics).splitlines()
    found = dict(zip(names.split(), values.split(), strict=True))
    assert found == dict.fromkeys(METRICS, "0.500") | {"AP": "0.704", "APL": "–"}


def test_long_tables_are_broken():
    metrics = {"PCKh": 88.5} | {f"right_shoulder_{number}": float(number) for number in range(16)}
    lines = format_table(metrics).splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) > 2
    assert sum((line.split() for line in lines[::2]), []) == list(metrics)


def test_the_model_finds_its_keypoints_in_the_crops(data):
    """The command's results are the network's own, worked out by hand for one person."""
    run(data, "--noflip_test", "--nms=none")
    persons = load_persons(data / "annotations.json", COCO17)
    found = json.loads((data / "model-evaluation" / "results.json").read_text())[0]
    x, y, width, height = persons.persons[0].box
    side = max(width, height * 0.75) * 1.25
    image = cv2.imread(str(data / "images" / "1.png"))[..., ::-1].astype(np.float32)
    corner = [x + width / 2 - side / 2, y + height / 2 - side / 0.75 / 2]
    scale = side / 48
    matrix = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
    crop = cv2.warpAffine(image, matrix, (48, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    heatmaps = np.asarray(keras.saving.load_model(data / "model.keras")(crop[None]))[0]
    points = np.reshape(found["keypoints"], (17, 3))
    for keypoint in range(17):
        row, column = np.unravel_index(heatmaps[..., keypoint].argmax(), (16, 12))
        position = np.array([column, row]) * 4 * scale + corner
        if heatmaps[..., keypoint].max() > 0:
            assert np.abs(points[keypoint, :2] - position).max() <= 0.2501 * 4 * scale
            assert points[keypoint, 2] == pytest.approx(heatmaps[..., keypoint].max(), abs=0.02)
