"""COCO keypoint results and the metrics.json beside them, read back."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.fields import get, identifier, number
from keras_simplepose.evaluation.metrics_file import METRICS_NAME
from keras_simplepose.utils.errors import UserError, shown
from keras_simplepose.utils.files import file_hash, read_json


def read_results(path: str | Path, skeleton: Skeleton) -> list[dict[str, Any]]:
    """Reads a results file.

    Args:
        path: a JSON list of image_id, category_id, keypoints (x, y, score each) and score.
        skeleton: of the keypoints.

    Raises:
        UserError: the file or an entry is faulty.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise UserError(f"{path}: not COCO keypoint results, which are a list; evaluate writes them as results.json")
    found = []
    for place, entry in enumerate(entries):
        where = f"{path}: result {place}"
        if not isinstance(entry, dict):
            raise UserError(f"{where} is {shown(entry)} where image_id, category_id, keypoints and score are expected")
        values = get(entry, "keypoints", where)
        try:
            points = np.array(values, np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"{where}: keypoints are {shown(values)}; they must be numbers") from error
        if points.shape != (3 * len(skeleton.keypoints),):
            raise UserError(
                f"{where} has {points.size / 3:g} keypoints; {skeleton.name} has {len(skeleton.keypoints)}: give the "
                "skeleton of these results"
            )
        if not np.isfinite(points).all():
            raise UserError(f"{where}: a keypoint is not finite")
        found.append(
            {
                "image_id": identifier(get(entry, "image_id", where), "image_id", where),
                "category_id": identifier(get(entry, "category_id", where), "category_id", where),
                "keypoints": points.tolist(),
                "score": number(get(entry, "score", where), "score", where),
            }
        )
    return found


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Reads a metrics.json.

    Raises:
        UserError: it is none.
    """
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("metrics"), dict):
        raise UserError(f"{path}: not the metrics.json that evaluate writes")
    return values


def metrics_beside(results: str | Path) -> dict[str, Any] | None:
    """The metrics.json in the folder of a results file, if it is about that very file."""
    path = Path(results).parent / METRICS_NAME
    if not path.is_file():
        return None
    metrics = read_metrics(path)
    return metrics if metrics.get("provenance", {}).get("results_sha256") == file_hash(results) else None
