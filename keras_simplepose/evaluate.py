"""Command: measures a model's COCO AP, or MPII PCKh, and writes the metrics with all they depend on."""

from dataclasses import asdict
from pathlib import Path

from keras_simplepose.config import CodecConfig, EvaluateConfig, EvaluationConfig
from keras_simplepose.flags import require, run_command
from keras_simplepose.utils.errors import UserError

DESCRIPTION = """Evaluates a model: COCO AP and AR by object keypoint similarity, or PCKh.

Boxes are the ground truth's, or a detector's with --detections (about 2 AP less; say which when you report). With
--codec_only no network runs: the ground truth is encoded, decoded and scored, which is the most a network can reach.
Results go to --output: metrics.json, with all that the metrics depend on, and results.json, COCO keypoint results."""


def main(config: EvaluateConfig, evaluation: EvaluationConfig, codec: CodecConfig) -> None:
    """Evaluates, prints the table, and writes metrics.json and results.json."""
    check_flags(config, evaluation, codec)
    from keras_simplepose.evaluation.metrics_file import describe_run, format_result, write_evaluation
    from keras_simplepose.evaluation.run import evaluate

    output = config.output or (str(Path(config.model).with_suffix("")) + "-evaluation" if config.model else "")
    # Before the work: a training in the same folder may replace the model meanwhile.
    run = describe_run(config, evaluation)
    result, persons, spec = evaluate(config, evaluation, codec, output)
    print(format_result(result, config))
    if output:
        metrics, results = write_evaluation(output, result, run, spec, persons.left_out)
        print(f"metrics   {metrics}\nposes     {results}")
    else:
        print("nothing written; --output names a folder for the metrics")


def check_flags(config: EvaluateConfig, evaluation: EvaluationConfig, codec: CodecConfig) -> None:
    """Refuses missing flags, and flags that would have no effect.

    Raises:
        UserError: naming them.
    """
    require(config, "annotations", *(() if config.codec_only else ("model", "images")))
    if config.images and not Path(config.images).is_dir():
        raise UserError(f"{config.images}: no such folder of images")
    if codec != CodecConfig() and (config.model or not config.codec_only):
        names = ", ".join(f"--{name}" for name in asdict(codec))
        raise UserError(f"{names} are for --codec_only without --model; a model has its own")
    if config.codec_only and config.metric == "pckh":
        raise UserError("--codec_only measures OKS; leave out --metric=pckh")
    if config.head_boxes and config.metric != "pckh":
        raise UserError("--head_boxes has no effect without --metric=pckh")
    if config.detections and (config.codec_only or config.metric == "pckh"):
        raise UserError("--detections goes with neither --codec_only nor --metric=pckh, which take the true boxes")
    if config.minimum_box_score and not config.detections:
        raise UserError("--minimum_box_score has no effect without --detections")
    for name in ("evaluation_batch_size", "soft_nms_keep"):
        if getattr(evaluation, name) < 1:
            raise UserError(f"--{name} is {getattr(evaluation, name)}; it must be at least 1")
    if evaluation.nms_threshold <= 0:
        raise UserError(f"--nms_threshold is {evaluation.nms_threshold}; it must be greater than 0")


if __name__ == "__main__":
    run_command(main, "evaluate", DESCRIPTION, EvaluateConfig, EvaluationConfig, CodecConfig)
