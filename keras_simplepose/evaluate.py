"""Command: measures a model's COCO AP, or MPII PCKh, and writes the metrics with all they depend on."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from keras_simplepose.config import CodecConfig, EvaluateConfig, EvaluationConfig
from keras_simplepose.core.errors import UserError
from keras_simplepose.core.files import check_writable
from keras_simplepose.data.coco import PersonSet, load_detections, load_persons
from keras_simplepose.engine import evaluation_report as report
from keras_simplepose.engine.codec_ceiling import codec_ceiling, codec_spec
from keras_simplepose.engine.evaluator import EvaluationResult, evaluate_pckh, evaluate_predictor
from keras_simplepose.engine.predictor import PosePredictor
from keras_simplepose.flags import require, run_command

DESCRIPTION = """Evaluates a model: COCO AP and AR by object keypoint similarity, or PCKh.

Boxes are the ground truth's, or a detector's with --detections (about 2 AP less; say which when you report). With
--codec_only no network runs: the ground truth is encoded, decoded and scored, which is the most a network can reach."""


def main(config: EvaluateConfig, evaluation: EvaluationConfig, codec: CodecConfig) -> None:
    """Evaluates, prints the table, and writes metrics.json and results.json."""
    _check(config, codec)
    predictor = PosePredictor.load(config.model, evaluation) if config.model else None
    spec = predictor.spec if predictor else codec_spec(codec)
    # Read first: a training in the same folder may replace the model meanwhile.
    files = {
        name: report.describe_file(path)
        for name in ("model", "annotations", "detections")
        if (path := getattr(config, name))
    }
    persons = load_persons(config.annotations, spec.skeleton)
    output = config.output or _beside(config.model)
    if output:
        check_writable(output)
    if config.codec_only:
        result = codec_ceiling(persons, spec, evaluation)
    else:
        result = _evaluate(config, evaluation, predictor, persons)
    boxes = "detections" if config.detections else "ground truth"
    print(f"{_title(config)}, boxes: {boxes}; {report.format_counts(result.counts)}")
    print("\n".join([report.format_table(result.metrics), *report.format_skipped(result.skipped)]))
    if not output:
        print("not written; --output names a folder for it")
        return
    provenance = {"boxes": boxes, "files": files, "network": report.describe_spec(spec)}
    protocol = asdict(replace(config, model="", annotations="", detections="", output="")) | asdict(evaluation)
    provenance["protocol"] = {name: value for name, value in protocol.items() if value != ""}
    written = report.write_evaluation(output, result, provenance, persons.left_out)
    print("written: " + ", ".join(map(str, written)))


def _title(config: EvaluateConfig) -> str:
    return "codec ceiling" if config.codec_only else config.metric.upper()


def _beside(model: str) -> str:
    path = Path(model)
    return str(path.with_name(f"{path.stem}-evaluation")) if model else ""


def _check(config: EvaluateConfig, codec: CodecConfig) -> None:
    """Refuses flags that do not go together."""
    require(config, "annotations", *(() if config.codec_only else ("model", "images")))
    if config.images and not Path(config.images).is_dir():
        raise UserError(f"{config.images}: no such folder of images")
    if codec != CodecConfig() and (config.model or not config.codec_only):
        names = ", ".join(f"--{name}" for name in asdict(codec))
        raise UserError(f"{names} are for --codec_only without --model; a model has its own")
    if config.detections and (config.codec_only or config.metric == "pckh"):
        raise UserError("--detections goes with neither --codec_only nor --metric=pckh, which take the true boxes")
    if config.codec_only and config.metric == "pckh":
        raise UserError("--codec_only measures OKS; leave out --metric=pckh")
    if config.minimum_box_score and not config.detections:
        raise UserError("--minimum_box_score is of no use without --detections")


def _evaluate(
    config: EvaluateConfig, evaluation: EvaluationConfig, predictor: Any, persons: PersonSet
) -> EvaluationResult:
    if config.metric == "pckh":
        return evaluate_pckh(predictor, persons, config.images, skip_damaged=config.skip_damaged)
    return evaluate_predictor(
        predictor,
        persons,
        config.images,
        load_detections(config.detections, persons) if config.detections else None,
        evaluation,
        minimum_box_score=config.minimum_box_score,
        skip_damaged=config.skip_damaged,
    )


if __name__ == "__main__":
    run_command(main, "evaluate", DESCRIPTION, EvaluateConfig, EvaluationConfig, CodecConfig)
