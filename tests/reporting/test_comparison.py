"""Differences planted in how two results were measured are named and explained; those in results are measured."""

import copy
import json
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from planted import people, poses_of, skeleton_results

from keras_simplepose import compare
from keras_simplepose.config import CompareConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.flags import CommandLine
from keras_simplepose.reporting.comparison import measure, setup_differences
from keras_simplepose.reporting.protocol_costs import COSTS
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import file_hash

METRICS = {
    "metrics": {"AP": 0.5, "AP50": 0.7},
    "counts": {"images": 120, "persons": 323, "boxes": 323},
    "annotations": "323 persons",
    "skipped_image_ids": [],
    "provenance": {
        "boxes": "ground-truth",
        "files": {
            "model": {"path": "a.keras", "sha256": "0a"},
            "annotations": {"path": "val.json", "sha256": "1b"},
            "detections": {"path": "boxes.json", "sha256": "2c"},
        },
        "images": "val",
        "protocol": {
            "metric": "oks",
            "head_boxes": "",
            "minimum_box_score": 0.0,
            "codec_only": False,
            "skip_damaged": False,
            "trust_keypoint_order": False,
            "boxes_from_keypoints": False,
            "orientation": "auto",
            "flip_test": True,
            "flip_shift": True,
            "decoding": "model",
            "keypoint_threshold": 0.2,
            "nms": "hard",
            "nms_threshold": 0.9,
            "soft_nms_keep": 20,
            "evaluation_batch_size": 64,
            "report": False,
        },
        "network": {
            "skeleton": "coco17",
            "input_size": [256, 192],
            "heatmap_size": [64, 48],
            "sigma": 2.0,
            "codec": "quarter_offset",
            "box_padding": 1.25,
        },
        "results_sha256": "3d",
        "versions": {"keras": "3.15.1", "opencv-python": "5.0.0.93"},
    },
}


def leaves(values, prefix=()):
    for name, value in values.items():
        yield from leaves(value, (*prefix, name)) if isinstance(value, dict) else [(*prefix, name)]


def planted(place):
    values = copy.deepcopy(METRICS)
    holder = values
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = "something else"
    return values


@pytest.mark.parametrize(
    "place", [each for each in leaves(METRICS) if each[0] != "metrics" and each[-1] != "results_sha256"], ids=".".join
)
def test_a_planted_difference_is_named_and_explained(place):
    (found,) = setup_differences([METRICS, planted(place)])
    assert found.name == ".".join(place) and found.values[1] == "something else"
    assert found.title != found.name and len(found.known) > 5 and found.known != "not known"
    assert "{" not in found.known


def test_every_cost_that_is_known_can_occur():
    names = [".".join(each) for each in leaves(METRICS)] + ["skipped"]
    assert all(any(fnmatchcase(name, pattern) for name in names) for pattern in COSTS)


def test_what_is_compared_is_no_difference_and_what_nobody_knows_is_said():
    other = copy.deepcopy(METRICS)
    other["metrics"]["AP"], other["provenance"]["results_sha256"] = 0.6, "4e"
    assert setup_differences([METRICS, other]) == []
    other["provenance"]["weather"] = "rain"
    (found,) = setup_differences([METRICS, other])
    assert (found.name, found.values, found.known) == ("provenance.weather", ("absent", "rain"), "not known")


def test_the_person_that_was_spoilt_changed_most():
    persons = people(images=6, per_image=2)
    points = poses_of(persons)
    spoilt = points.copy()
    spoilt[7, :6, :2] += 60
    results = [skeleton_results(persons, each, np.ones(12)) for each in (points, spoilt)]
    measured = measure(persons, results, COCO17, resamples=50)
    assert measured.changed(3).tolist() == [7]
    assert (
        measured.differences[0].interval.value == pytest.approx(measured.ap[1] - measured.ap[0]) and measured.ap[0] == 1
    )


@pytest.fixture
def runs(report_config, tmp_path):
    """Two folders with metrics.json and results.json, the second without the first person's errors."""
    folders = []
    results = json.loads(Path(report_config.results).read_text())
    for place, name in enumerate(("a", "b")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "results.json").write_text(json.dumps(results[place:]))
        values = copy.deepcopy(METRICS)
        values["provenance"]["files"]["annotations"] = {
            "path": report_config.annotations,
            "sha256": file_hash(report_config.annotations),
        }
        values["provenance"]["images"] = report_config.images
        values["provenance"]["results_sha256"] = file_hash(folder / "results.json")
        values["provenance"]["protocol"]["flip_test"] = not place
        (folder / "metrics.json").write_text(json.dumps(values))
        folders.append(str(folder))
    return folders


def test_a_comparison_is_text_json_and_a_page(runs, tmp_path, capsys):
    (config,) = CommandLine("compare", "", CompareConfig).read([*runs, f"--output={tmp_path / 'o'}", "--resamples=20"])
    assert config.runs == tuple(runs)
    compare.main(config)
    text = capsys.readouterr().out
    assert "flip test" in text and "True | False" in text and "→ .000" in text
    figures = json.loads((tmp_path / "o" / "comparison.json").read_text())
    assert figures["persons"][0]["annotation_id"] == 1 and not figures["not_measured_because"]
    page = (tmp_path / "o" / "index.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 3 * len([each for each in figures["persons"] if len(set(each["oks"])) > 1])


def test_runs_that_cannot_be_measured_together_say_why(runs, capsys):
    metrics = json.loads(Path(runs[1], "metrics.json").read_text())
    metrics["provenance"]["files"]["annotations"]["sha256"] = "other"
    Path(runs[1], "metrics.json").write_text(json.dumps(metrics))
    compare.main(CompareConfig(runs=(*runs, runs[0])))
    text = capsys.readouterr().out
    assert "different annotations" in text and "cannot be compared" in text and "   C" in text
    with pytest.raises(UserError, match="two or more"):
        compare.main(CompareConfig(runs=(runs[0],)))
