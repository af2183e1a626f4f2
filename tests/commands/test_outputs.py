"""No command writes over an input, or over a file that it did not make."""

import pytest

from keras_simplepose import benchmark, convert, evaluate, train
from keras_simplepose.config import (
    BenchmarkConfig,
    CodecConfig,
    ConvertConfig,
    EvaluationConfig,
    EvaluationDataConfig,
    ExportConfig,
)
from keras_simplepose.exporting.exporter import export
from keras_simplepose.utils.errors import UserError


def written(path, text="a user's"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_a_training_takes_no_folder_that_is_not_its_own(tmp_path):
    train.check_workdir(tmp_path / "new", [])
    for name in ("curves.csv", "best.keras", "flags.cfg"):
        written(tmp_path / name / name)
        with pytest.raises(UserError, match=f"{name}: is there already"):
            train.check_workdir(tmp_path / name, [])
    written(tmp_path / "run" / "flags.cfg", "# python -m keras_simplepose.train --flagfile=run/flags.cfg\n--seed=0\n")
    best = written(tmp_path / "run" / "best.keras")
    train.check_workdir(tmp_path / "run", [str(tmp_path / "run" / "flags.cfg.other")])
    with pytest.raises(UserError, match=r"best\.keras: is an input"):
        train.check_workdir(tmp_path / "run", [best])


def test_convert_keeps_its_checkpoint_and_other_models(tmp_path):
    checkpoint, other = written(tmp_path / "a.keras"), written(tmp_path / "b.keras")
    for output, message in ((checkpoint, "is an input"), (other, "is there already")):
        with pytest.raises(UserError, match=message):
            convert.main(ConvertConfig(checkpoint=checkpoint, output=output))


def test_a_benchmark_keeps_other_files(tmp_path):
    with pytest.raises(UserError, match="is there already"):
        benchmark.main(BenchmarkConfig(output=written(tmp_path / "rows.jsonl")))


def test_an_evaluation_keeps_other_files(tmp_path):
    annotations = written(tmp_path / "out" / "results.json")
    with pytest.raises(UserError, match=r"results\.json: is an input"):
        evaluate.main(
            EvaluationDataConfig(annotations=annotations, output=str(tmp_path / "out"), codec_only=True),
            EvaluationConfig(),
            CodecConfig(),
        )


def test_an_export_keeps_other_files(tmp_path):
    model = written(tmp_path / "pose.keras")
    written(tmp_path / "out" / "savedmodel" / "7" / "saved_model.pb")
    with pytest.raises(UserError, match="7: is there already"):
        export(ExportConfig(model=model, output=str(tmp_path / "out"), format=("savedmodel",), version=7))
    assert (tmp_path / "out" / "savedmodel" / "7" / "saved_model.pb").read_text() == "a user's"
