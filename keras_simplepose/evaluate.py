"""Command: measures a model's COCO AP, or MPII PCKh, and writes the metrics with all they depend on."""

from pathlib import Path

from keras_simplepose.config import CodecConfig, EvaluationConfig, EvaluationDataConfig, ReportConfig
from keras_simplepose.flags import run_command, warn
from keras_simplepose.utils.errors import UserError

DESCRIPTION = """Evaluates a model: COCO AP and AR by object keypoint similarity, or PCKh.

Boxes are the ground truth's, or a detector's with --detections (about 2 AP less; say which when you report). With
--codec_only no network runs: the ground truth is encoded, decoded and scored, which is the most a network can reach
(--ceiling_table: for every codec and three sizes).
Results go to --output: metrics.json, with all that the metrics depend on, and results.json, COCO keypoint results;
with --report a page as well that says which errors cost how much AP."""

REPORT_NAME = "report"


def main(config: EvaluationDataConfig, evaluation: EvaluationConfig, codec: CodecConfig) -> None:
    """Evaluates, prints the table, and writes metrics.json and results.json."""
    from keras_simplepose.evaluation.metrics_file import (
        METRICS_NAME,
        RESULTS_NAME,
        describe_run,
        format_result,
        write_evaluation,
    )
    from keras_simplepose.evaluation.run import evaluate
    from keras_simplepose.models.fetching import HUB
    from keras_simplepose.reporting.report import outputs_of, write_report
    from keras_simplepose.training.devices import multi_worker_strategy
    from keras_simplepose.utils.files import check_outputs, record_results
    from keras_simplepose.utils.workers import Workers

    if codec.ceiling_table:
        _print_ceilings(config, evaluation, codec)
        return
    # Before anything else that TensorFlow does.
    workers = Workers(multi_worker_strategy()) if config.multi_worker else Workers()
    if not workers.is_chief:  # It writes nothing; the chief says where everything is.
        evaluate(config, evaluation, codec, progress=False, workers=workers)
        return
    output = config.output
    if config.model and not output:
        # A model of the hub has no folder here to stand beside.
        path = Path(config.model.rpartition("/")[2] if config.model.startswith(HUB) else config.model)
        output = f"{path.with_suffix('')}-evaluation"
    inputs = [config.model, config.annotations, config.detections, config.head_boxes]
    if output:
        check_outputs([Path(output) / name for name in (METRICS_NAME, RESULTS_NAME)], inputs)
    if config.report:
        if not output:
            raise UserError("--report needs --output, a folder for the page")
        check_outputs(outputs_of(Path(output) / REPORT_NAME), inputs)
    # Before the work: a training in the same folder may replace the model meanwhile.
    run = describe_run(config, evaluation)
    result, persons, spec = evaluate(config, evaluation, codec, output, workers=workers)
    print(format_result(result, config, persons))
    warn(result.orientation_warning)
    if output:
        metrics, results = write_evaluation(output, result, run, spec, persons)
        record_results(metrics, results)
        print(f"metrics   {metrics}\nposes     {results}")
        if config.report:
            page, figures, _ = write_report(_report_config(config, output), spec.skeleton)
            print(f"page      {page}\nfigures   {figures}")
    else:
        print("nothing written; --output names a folder for the metrics")


def _print_ceilings(config: EvaluationDataConfig, evaluation: EvaluationConfig, codec: CodecConfig) -> None:
    from keras_simplepose.core.skeletons import load_skeleton
    from keras_simplepose.data.annotations import load_configured
    from keras_simplepose.evaluation.codec_ceiling import ceiling_table

    persons = load_configured(config, load_skeleton(codec.skeleton))
    print(f"annotations: {persons.summary()}")
    for line in ceiling_table(persons, codec, evaluation):
        print(line, flush=True)
    print("nothing written; this is the table")


def _report_config(config: EvaluationDataConfig, output: str) -> ReportConfig:
    return ReportConfig(
        results=str(Path(output) / "results.json"),
        annotations=config.annotations,
        images=config.images,
        output=str(Path(output) / REPORT_NAME),
        trust_keypoint_order=config.trust_keypoint_order,
        boxes_from_keypoints=config.boxes_from_keypoints,
        orientation=config.orientation,
    )


if __name__ == "__main__":
    run_command(main, "evaluate", DESCRIPTION, EvaluationDataConfig, EvaluationConfig, CodecConfig)
