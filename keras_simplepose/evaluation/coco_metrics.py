"""COCO keypoint AP and AR, by pycocotools, of any skeleton and category."""

import contextlib
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_simplepose.data.coco import AREA_OF_BOX
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import read_json

# The order of COCOeval's keypoint statistics. M: areas of 32² to 96², L: above.
METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


def keypoint_metrics(
    ground_truth: str | Path | Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    category_id: int = 1,
    image_ids: Collection[int] | None = None,
    set_aside: Collection[int] = (),
) -> dict[str, float]:
    """Average precision and recall over OKS of .50 to .95, at most 20 poses an image, as the COCO benchmark has them.

    Crowd regions and persons without a labelled keypoint are neither demanded nor held against a pose on them.

    Args:
        ground_truth: COCO keypoint annotations, or the file that holds them. Where an annotation lacks them,
            num_keypoints is counted, area is 0.53 of the box, and iscrowd is 0.
        results: COCO keypoint results: image_id, category_id, keypoints (x, y, score each) and score. Unchanged.
        sigmas: K OKS constants, `Skeleton.sigmas`.
        category_id: of the persons.
        image_ids: measure on these images only; None means all.
        set_aside: ids of annotations that do not count as ground truth.

    Returns:
        AP, AP50, AP75, APM, APL, AR, AR50, AR75, ARM and ARL, each in [0, 1]; without those of a size (M, L) that the
        ground truth has no person of.

    Raises:
        UserError: the file is faulty, a result is of an image it does not list or of another number of keypoints, or
            no person is labelled.
    """
    where = ground_truth if isinstance(ground_truth, str | Path) else "the ground truth"
    tables = read_json(ground_truth) if isinstance(ground_truth, str | Path) else ground_truth
    count = len(sigmas)
    images = {image["id"] for image in tables["images"]}
    truths = [
        _ground_truth_entry(entry, count, where)
        for entry in tables["annotations"]
        if entry["category_id"] == category_id and entry["id"] not in set_aside
    ]
    found = _result_entries((entry for entry in results if entry["category_id"] == category_id), images, count)
    chosen = sorted(images if image_ids is None else images & set(image_ids))
    if not chosen:  # To COCOeval an empty list means all images.
        raise UserError(f"{where}: no image is left to evaluate")
    # pycocotools reports its progress on standard output, and offers no way to stop that.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_index(chosen, category_id, truths), _index(chosen, category_id, found), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics = {name: float(value) for name, value in zip(METRICS, evaluation.stats, strict=True) if value >= 0}
    if "AP" not in metrics:
        raise UserError(f"{where}: none of the {len(chosen)} images evaluated has a labelled person of {category_id=}")
    return metrics


def _ground_truth_entry(entry: Mapping[str, Any], count: int, where: Any) -> dict[str, Any]:
    """An annotation with what COCOeval reads, completed where files other than COCO's leave it out."""
    if "bbox" not in entry:
        raise UserError(f"{where}: annotation {entry['id']} lacks 'bbox'")
    values = dict(entry) | {"iscrowd": entry.get("iscrowd", 0)}
    points = entry.get("keypoints") or [0] * (3 * count)  # A crowd region may come without.
    if len(points) != 3 * count:
        raise UserError(f"{where}: annotation {entry['id']} has {len(points) // 3} keypoints; the skeleton has {count}")
    values["keypoints"] = points
    values.setdefault("num_keypoints", sum(visibility > 0 for visibility in points[2::3]))
    values.setdefault("area", AREA_OF_BOX * entry["bbox"][2] * entry["bbox"][3])
    return values


def _result_entries(results: Iterable[Mapping[str, Any]], images: Collection[int], count: int) -> list[dict[str, Any]]:
    """Results with the ids, boxes and areas that `COCO.loadRes` gives them; it would change the caller's, and print."""
    entries = []
    for number, result in enumerate(results, start=1):
        if result["image_id"] not in images:
            raise UserError(f"result {number} is of image {result['image_id']!r}, which the ground truth does not list")
        points = np.asarray(result["keypoints"], np.float64)
        if points.shape != (3 * count,):
            raise UserError(f"result {number} has {points.size / 3:g} keypoints; the skeleton has {count}")
        if not (np.isfinite(points).all() and math.isfinite(result["score"])):
            raise UserError(f"result {number} (image {result['image_id']}) is not finite")
        x, y = points[0::3], points[1::3]
        box = [x.min(), y.min(), np.ptp(x), np.ptp(y)]
        area = box[2] * box[3]
        if given := result.get("bbox"):
            box, area = given, given[2] * given[3]
        entries.append(dict(result) | {"id": number, "bbox": box, "area": area, "iscrowd": 0})
    return entries


def _index(image_ids: Iterable[int], category_id: int, annotations: list[dict[str, Any]]) -> COCO:
    index = COCO()
    index.dataset = {
        "images": [{"id": image_id} for image_id in image_ids],
        "categories": [{"id": category_id}],
        "annotations": annotations,
    }
    index.createIndex()
    return index
