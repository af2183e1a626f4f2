"""Command: measures tracks as PoseTrack does."""

import math

from keras_simplepose.config import TrackEvaluationConfig
from keras_simplepose.flags import run_command
from keras_simplepose.utils.errors import UserError

DESCRIPTION = """Measures tracks as PoseTrack does: AP, MOTA, MOTP, precision and recall of every joint.

Beside them IDF1, HOTA, switches and fragments of whole persons."""

MEASURES = ("ap", "mota", "motp", "precision", "recall")


def main(config: TrackEvaluationConfig) -> None:
    """Prints a table; keeps all figures in --output."""
    try:
        from keras_simplepose.evaluation.posetrack_metrics import evaluate_posetrack
    except ImportError as error:
        raise UserError(f"needs {error.name}: pip install 'keras_simplepose[track]'") from error
    from keras_simplepose.utils.files import check_outputs, record_results, write_json

    if config.output:
        check_outputs([config.output], [config.annotations, config.results])
    result = evaluate_posetrack(config.annotations, config.results, config.protocol)
    print(f"{config.protocol:15}" + "".join(f"{name:>11}" for name in MEASURES))
    rows = {**result["joints"], "head": result["head"], "total": result["total"]}
    for name, values in rows.items():
        print(f"{name:15}" + "".join(f"{values[measure]:11.2f}" for measure in MEASURES))
    print(", ".join(f"{name} {value:.2f}".removesuffix(".00") for name, value in result["identity"].items()))
    if config.output:
        write_json(config.output, _without_nan(result))
        record_results(config.output)


def _without_nan(value: object) -> object:
    """The value as JSON takes it: null for what cannot be measured."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    run_command(main, "evaluate_tracking", DESCRIPTION, TrackEvaluationConfig)
