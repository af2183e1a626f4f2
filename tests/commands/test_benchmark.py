import json
import math

import pytest

from keras_simplepose import benchmark
from keras_simplepose.benchmarks import suites
from keras_simplepose.benchmarks.rows import WIDEST_SPREAD, Figure, interleaved, make_rows
from keras_simplepose.benchmarks.suites import run_benchmark
from keras_simplepose.config import BenchmarkConfig
from keras_simplepose.core.codecs import CODECS
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset
from keras_simplepose.utils.errors import UserError

REFERENCE = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--annotations", required=True)
parser.add_argument("--images", required=True)
parser.add_argument("--limit", type=int)
parser.add_argument("--workers", type=int, nargs="+")
arguments = parser.parse_args()
for workers in arguments.workers:
    print(json.dumps({"workers": workers, "images_per_second": arguments.limit + workers}))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    annotations, images = make_synthetic_dataset(tmp_path_factory.mktemp("data") / "set", 3, 0, workers=1)
    return {"annotations": str(annotations), "images": str(images)}


def test_contestants_are_measured_in_turns_and_medians_count():
    order, figures = [], {"a": iter([3.0, 1.0, 100.0]), "b": iter([5.0, 5.0, 6.0])}

    def contestant(name):
        def measure():
            order.append(name)
            return next(figures[name])

        return measure

    measured = interleaved({name: contestant(name) for name in figures}, 3)
    assert {name: figure.value for name, figure in measured.items()} == {"a": 3.0, "b": 5.0}
    assert order == ["a", "b"] * 3


@pytest.mark.parametrize(("unit", "ratio"), [("images/s", 2.0), ("ms", 0.5)])
def test_ratio_above_one_is_faster(unit, ratio):
    reference, ours = make_rows({"reference": Figure(10.0), "ours": Figure(20.0)}, unit, "reference")
    assert (reference.ratio_to, reference.ratio) == ("", None)
    assert (ours.ratio_to, ours.ratio) == ("reference", ratio)


def test_the_spread_of_the_rounds_is_told_and_a_wide_one_gives_no_ratio():
    calm, noisy = Figure.of((9.0, 10.0, 11.0)), Figure.of((10.0, 10.0, 73.1))
    assert (calm.value, calm.spread) == (10.0, pytest.approx(0.2)) and noisy.value == 10.0
    rows = make_rows({"reference": calm, "calm": calm, "noisy": noisy}, "ms", "reference")
    assert [(row.ratio, row.spread) for row in rows] == [(None, 0.2), (1.0, 0.2), (None, 6.31)]
    assert make_rows({"reference": noisy, "calm": calm}, "ms", "reference")[1].ratio is None


def test_without_the_reference_there_is_no_ratio():
    (row,) = make_rows({"ours": Figure(20.0)}, "ms", "absent")
    assert (row.ratio_to, row.ratio) == ("", None)


@pytest.mark.slow
def test_input_suite_gives_rows_beside_the_reference(sources, tmp_path, capsys):
    script, output = tmp_path / "reference.py", tmp_path / "rows.jsonl"
    script.write_text(REFERENCE)
    benchmark.main(
        BenchmarkConfig(
            suites=("input",),
            **sources,
            reference_loader=str(script),
            reference_workers=(0, 2),
            persons=32,
            rounds=1,
            output=str(output),
        )
    )
    rows = {row["name"]: row for row in map(json.loads, output.read_text().splitlines())}
    assert output.read_text() in capsys.readouterr().out
    assert list(rows) == [
        "input/reference",
        "input/prepared_decoded",
        "input/prepared_with_targets",
        "input/jpeg_with_targets",
    ]
    assert rows["input/reference"]["value"] == 34
    for row in list(rows.values())[1:]:
        assert row["unit"] == "images/s" and row["ratio_to"] == "input/reference" and row["value"] > 0
        if (row["spread"] or 0) <= WIDEST_SPREAD:
            assert math.isclose(row["ratio"], row["value"] / 34, rel_tol=1e-2, abs_tol=1e-3)
        else:  # Something else ran.
            assert row["ratio"] is None


def test_each_row_may_have_its_own_reference():
    rows = make_rows({"a": Figure(10.0), "b": Figure(5.0), "c": Figure(1.0)}, "ms", {"b": "a", "c": "b"})
    assert [(row.ratio_to, row.ratio) for row in rows] == [("", None), ("a", 2.0), ("b", 5.0)]


@pytest.mark.slow
def test_export_suite_gives_every_form_beside_pytorch():
    pytest.importorskip("torch")
    pytest.importorskip("ai_edge_litert")
    rows = {row.name: row for row in run_benchmark(BenchmarkConfig(suites=("export",), export_batch=2, rounds=1))}
    forms = {f"export/tflite_{kind}" for kind in ("float32", "float16", "dynamic", "int8")}
    forms |= {f"export/{kind}" for kind in ("graph", "xla", "savedmodel_crops", "savedmodel_xla_crops")}
    assert forms | {"export/pytorch_1", "export/pytorch_batch"} <= set(rows)
    for name in forms:
        reference = rows[rows[name].ratio_to]
        assert reference.name == ("export/pytorch_1" if "tflite" in name else "export/pytorch_batch")
        assert rows[name].ratio == pytest.approx(reference.value / rows[name].value, rel=0.01, abs=0.01)
    assert rows["export/savedmodel_serving_default"].ratio_to == "export/savedmodel_crops"


def test_a_suite_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(suites.SUITES, "absent", ("absent", "absent_benchmark"))
    with pytest.raises(UserError, match="suite absent"):
        list(run_benchmark(BenchmarkConfig(suites=("absent",))))


def test_a_reference_that_fails_is_named(sources, tmp_path):
    from keras_simplepose.benchmarks.input import run_reference

    script = tmp_path / "reference.py"
    script.write_text("raise SystemExit('no torch here')")
    with pytest.raises(UserError, match="reference.py: no torch here"):
        run_reference(BenchmarkConfig(**sources, reference_loader=str(script)))


@pytest.mark.slow
def test_decoding_suite_gives_every_codec_in_every_form_beside_the_papers():
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("tf2onnx")
    rows = {row.name: row for row in run_benchmark(BenchmarkConfig(suites=("decoding",), export_batch=2, rounds=1))}
    forms = ("graph", "xla", "tflite", "onnx")
    assert set(rows) == {f"decoding/{codec}_{form}" for codec in CODECS for form in forms}
    for name, row in rows.items():
        reference = f"decoding/quarter_offset_{name.rpartition('_')[2]}"
        assert row.value > 0 and row.unit == "ms" and row.ratio_to == ("" if name == reference else reference)
