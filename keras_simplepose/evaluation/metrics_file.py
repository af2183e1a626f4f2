"""What an evaluation leaves behind: a table to read, its metrics with their provenance, its poses."""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from keras_simplepose.config import EvaluationConfig, EvaluationDataConfig
from keras_simplepose.conversion.named_models import model_file
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.evaluation.coco_metrics import METRICS
from keras_simplepose.evaluation.evaluator import EvaluationResult
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import file_hash, write_json
from keras_simplepose.version import VERSION

LIBRARIES = ("tensorflow", "keras", "numpy", "opencv-python", "pycocotools")
TABLE_WIDTH = 100  # Characters.
ABSENT = "–"
METRICS_NAME, RESULTS_NAME = "metrics.json", "results.json"


def format_table(metrics: Mapping[str, float]) -> str:
    """Metrics as a table: names over values, in as many rows as they need.

    OKS metrics are shares with three decimals, those of a size that nobody has as a dash; others per cent with one.
    """
    names = list(METRICS) if "AP" in metrics else list(metrics)
    decimals = 3 if "AP" in metrics else 1
    texts = [f"{metrics[name]:.{decimals}f}" if name in metrics else ABSENT for name in names]
    width = max(6, *map(len, names)) + 1
    per_row = TABLE_WIDTH // width
    lines = []
    for start in range(0, len(names), per_row):
        for row in (names, texts):
            lines.append("".join(text.rjust(width) for text in row[start : start + per_row]))
    return "\n".join(lines)


def format_result(result: EvaluationResult, config: EvaluationDataConfig, persons: PersonSet) -> str:
    """A result as lines to print: the annotations, what was measured and on how much, the table, images skipped."""
    title = "codec's ceiling" if config.codec_only else config.metric.upper()
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in result.counts.items() if count)
    lines = [
        f"annotations: {persons.summary()}",
        f"{title}, {_boxes(config)} boxes: {counts}",
        format_table(result.metrics),
    ]
    if result.skipped:
        lines += [f"images skipped: {len(result.skipped)}", *(f"  {fault}" for fault in result.skipped)]
    return "\n".join(lines)


def describe_run(config: EvaluationDataConfig, evaluation: EvaluationConfig) -> dict[str, Any]:
    """The files and flags that an evaluation's metrics depend on, as JSON-serialisable values.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    paths = {name: getattr(config, name) for name in ("model", "annotations", "detections")}
    flags = asdict(config) | asdict(evaluation)
    return {
        "boxes": _boxes(config),
        "files": {name: _describe_file(name, path) for name, path in paths.items() if path},
        "images": config.images,
        "protocol": {
            name: value for name, value in flags.items() if name not in (*paths, "images", "output", "multi_worker")
        },
    }


def _boxes(config: EvaluationDataConfig) -> str:
    return "detector" if config.detections else "ground-truth"


def _describe_file(name: str, path: str) -> dict[str, str]:
    file = model_file(path) if name == "model" else Path(path)
    if not file.exists():
        raise UserError(f"{path}: no such file")
    try:
        return {"path": path, "sha256": file_hash(file)}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def write_evaluation(
    folder: str | Path,
    result: EvaluationResult,
    run: Mapping[str, Any],
    spec: PoseSpec,
    persons: PersonSet,
) -> tuple[Path, Path]:
    """Writes results.json, a COCO keypoint results file, and then metrics.json, which vouches for it.

    Args:
        folder: where to; files of those names are replaced.
        result: of the evaluation.
        run: what `describe_run` says of it.
        spec: of the network.
        persons: the ground truth; what was left out of it and estimated is written too.

    Returns:
        the paths of metrics.json and results.json.

    Raises:
        UserError: the folder cannot be written to.
    """
    metrics_path, results_path = Path(folder) / METRICS_NAME, Path(folder) / RESULTS_NAME
    write_json(results_path, result.results, indent=None)
    if not spec.has_flip_shift and "protocol" in run:
        run = dict(run) | {"protocol": run["protocol"] | {"flip_shift": False}}  # What was done, whatever was asked.
    values = {
        "metrics": result.metrics,
        "counts": result.counts,
        "annotations": persons.summary(),
        "annotations_left_out": dict(persons.left_out),
        "annotations_estimated": dict(persons.notes),
        "skipped": list(result.skipped),
        "skipped_image_ids": list(result.skipped_images),
        "provenance": dict(run)
        | {
            "network": spec.to_dict() | {"skeleton": spec.skeleton.name},
            "results_sha256": file_hash(results_path),
            "versions": _versions(),
        },
    }
    write_json(metrics_path, values)
    return metrics_path, results_path


def _versions() -> dict[str, str]:
    found = {"keras_simplepose": VERSION, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # Such as opencv-python with opencv-python-headless in its place.
            continue
    return found
