"""Every table of what can be chosen: each entry says what it is, and a name that is not there gets the nearest ones."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from stand_ins import SPEC, tiny_network

from keras_simplepose.benchmarks.suites import SUITES, run_benchmark
from keras_simplepose.config import BenchmarkConfig, DetectorConfig, EvaluationConfig, ExportConfig, ModelConfig
from keras_simplepose.core.codecs import CODECS, decision_margins, decode, encode
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.annotations import READERS
from keras_simplepose.data.imports.importing import IMPORTERS
from keras_simplepose.detection.detectors import DETECTORS, load_detector
from keras_simplepose.exporting.exporter import FORMATS, plan
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.models.backbones.registry import BACKBONES, get_backbone
from keras_simplepose.models.build import FAMILIES, build_from_config
from keras_simplepose.models.stages import last_stage, pose_spec
from keras_simplepose.utils.errors import UserError

DESCRIBED = {"codec": CODECS, "family": FAMILIES, "reader": READERS, "detector": DETECTORS, "format": FORMATS}
DESCRIBED["importer"] = IMPORTERS


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, entries in DESCRIBED.items() for name in entries], ids=str
)
def test_every_entry_says_what_it_is(kind, name):
    assert len(DESCRIBED[kind][name].description.strip()) > 5


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_finds_again_what_it_drew(codec):
    size = (1, 448) if CODECS[codec].distributions else (32, 24)
    spec = PoseSpec(COCO17, (128, 96), size, 2.0, codec)
    keypoints = np.random.default_rng(0).uniform([36, 36], [60, 92], (2, 17, 2)).astype(np.float32)
    targets, weights = encode(keypoints, np.ones((2, 17), np.float32), spec)
    assert targets.shape == (2, *size, 17) and np.all(np.asarray(weights) == 1)
    for gather_free in (False, True):
        points, maxima = decode(targets, spec, gather_free)
        assert np.abs(np.asarray(points) - keypoints).max() <= spec.stride / 2 + 1e-4
        assert np.all(np.asarray(maxima) > 0.8)
    assert decision_margins(np.asarray(targets), spec).shape == (2, 17)


SMALL = {
    "simple": {"backbone": "mobilenetv2", "alpha": 0.35, "deconv_filters": (8, 8, 8)},
    "hourglass": {"stacks": 1},
    "cpn": {"backbone": "mobilenetv2", "alpha": 0.35},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_builds_what_a_configuration_says(name):
    config = ModelConfig(
        architecture=name, backbone_weights="none", input_size=(64, 128), codec="dark", sigma=1.5, **SMALL[name]
    )
    model = build_from_config(config)
    spec = pose_spec(model)
    assert (spec.input_size, spec.codec, spec.sigma) == ((64, 128), "dark", 1.5)
    assert last_stage(model).output_shape == (None, *spec.heatmap_size, 17)
    assert {field for field in FAMILIES[name].options if not hasattr(ModelConfig, field)} == set()


def test_the_configuration_has_every_option_of_some_family_in_one_place():
    for name, family in FAMILIES.items():
        assert set(family.options) == set(inspect.getmodule(family.build).OPTIONS), name


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_answers_to_its_usage_alone(name):
    assert [other for other, kind in DETECTORS.items() if kind.names(DETECTORS[name].usage)] == [name]


def test_the_last_reader_takes_any_file(tmp_path):
    (tmp_path / "list.json").write_text("[]")
    recognised = [name for name, reader in READERS.items() if reader.recognises(tmp_path / "list.json")]
    assert recognised == ["mpii", "coco"] and list(READERS)[-1] == "coco"
    assert READERS["coco"].recognises(tmp_path / "absent.json")


def planned(name):
    return plan(ExportConfig(format=(name,)), EvaluationConfig(), tiny_network(SPEC), Path("absent"), ImageReading())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_plans_files_and_is_an_option(name):
    assert [artefact.metadata.spec for artefact in planned(name)] == [SPEC]
    assert name in ExportConfig.__dataclass_fields__["format"].metadata["rules"].choices


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: get_backbone("resnet5"), "backbone 'resnet5' is unknown; the nearest are resnet50"),
        (
            lambda: build_from_config(ModelConfig(architecture="sandglass")),
            "architecture 'sandglass' is unknown; there is",
        ),
        (
            lambda: PoseSpec(COCO17, (64, 64), (16, 16), 2.0, "drak"),
            "codec 'drak' is unknown; the nearest are dark",
        ),
        (
            lambda: load_detector(DetectorConfig(detector="yolo")),
            "detector 'yolo' is unknown; the nearest are yolox_",
        ),
        (lambda: planned("tflight"), "format 'tflight' is unknown; there is savedmodel, tflite"),
        (lambda: list(run_benchmark(BenchmarkConfig(suites=("speed",)))), "suite 'speed' is unknown; "),
    ],
    ids=["backbone", "architecture", "codec", "detector", "format", "suite"],
)
def test_an_unknown_name_gets_the_nearest_ones(ask, message):
    with pytest.raises(UserError, match=message):
        ask()


def test_backbones_and_suites_are_there():
    assert {"efficientnetv2s", "resnet50", "mobilenetv2"} <= set(BACKBONES)
    assert set(SUITES) == set(BenchmarkConfig.__dataclass_fields__["suites"].metadata["rules"].choices)
