"""What an evaluation leaves behind: a table to read, its metrics with their provenance, its poses."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from keras_simplepose.core.files import file_hash, write_json
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.engine.coco_metrics import METRICS
from keras_simplepose.engine.evaluator import EvaluationResult
from keras_simplepose.version import VERSION

TABLE_WIDTH = 100  # Characters.
ABSENT = "–"


def format_table(metrics: Mapping[str, float]) -> str:
    """Metrics as a table: names over values, in as many rows as they need.

    OKS metrics are shares with three decimals, those of a size that nobody has as a dash; others per cent with one.
    """
    names = list(METRICS) if "AP" in metrics else list(metrics)
    texts = [_format(metrics[name], "AP" in metrics) if name in metrics else ABSENT for name in names]
    width = max(6, *map(len, names)) + 1
    per_row = TABLE_WIDTH // width
    lines = []
    for start in range(0, len(names), per_row):
        for row in (names, texts):
            lines.append("".join(text.rjust(width) for text in row[start : start + per_row]))
    return "\n".join(lines)


def _format(value: float, is_share: bool) -> str:
    return f"{value:.3f}" if is_share else f"{value:.1f}"


def describe_file(path: str | Path) -> dict[str, str]:
    """Name and SHA-256 of a file or folder: what to compare a later run with."""
    return {"path": str(path), "sha256": file_hash(path)}


def describe_spec(spec: PoseSpec) -> dict[str, Any]:
    """The frame of a network, its skeleton by name."""
    return spec.to_dict() | {"skeleton": spec.skeleton.name}


def describe_versions() -> dict[str, str]:
    """Versions of whatever computes: this package, the interpreter and the libraries."""
    found = {"keras_simplepose": VERSION, "python": platform.python_version()}
    for name in ("tensorflow", "keras", "numpy", "opencv-python", "pycocotools"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # Such as opencv-python-headless in its place.
            continue
    return found


def write_evaluation(
    folder: str | Path, result: EvaluationResult, provenance: Mapping[str, Any], left_out: Mapping[str, int]
) -> tuple[Path, Path]:
    """Writes results.json, a COCO keypoint results file, and then metrics.json, which vouches for it.

    Args:
        folder: where to; files of those names are replaced.
        result: of the evaluation.
        provenance: whatever the metrics depend on.
        left_out: annotations left out of the ground truth's persons, by reason.

    Returns:
        the paths of metrics.json and results.json.

    Raises:
        UserError: the folder cannot be written to.
    """
    metrics_path, results_path = Path(folder) / "metrics.json", Path(folder) / "results.json"
    write_json(results_path, result.results, indent=None)
    values = {
        "metrics": result.metrics,
        "counts": result.counts,
        "annotations_left_out": dict(left_out),
        "skipped": list(result.skipped),
        "provenance": dict(provenance) | {"versions": describe_versions()},
    }
    write_json(metrics_path, values)
    return metrics_path, results_path


def format_counts(counts: Mapping[str, int]) -> str:
    """Counts in one line, zeros left out."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def format_skipped(skipped: Sequence[str]) -> list[str]:
    """The damaged images, one a line, after their number."""
    return [f"images skipped: {len(skipped)}", *(f"  {fault}" for fault in skipped)] if skipped else []
