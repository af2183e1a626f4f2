"""COCO keypoint AP and AR, by pycocotools, of any skeleton and category."""

import contextlib
import io
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_simplepose.data.persons import PERSON_CATEGORY, Ignored, Person, PersonSet
from keras_simplepose.utils.errors import UserError

# The order of COCOeval's keypoint statistics. M: areas of 32² to 96², L: above.
METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


def keypoint_metrics(
    persons: PersonSet,
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    image_ids: Collection[int] | None = None,
) -> dict[str, float]:
    """Average precision and recall over OKS of .50 to .95, at most 20 poses an image, as the COCO benchmark has them.

    What the annotations' reader left out (crowd regions, persons without a labelled keypoint or a usable box) is
    neither demanded nor held against a pose on it. Neither the numbers of images and annotations nor the order of
    anything change the metrics: pycocotools is given numbers of our own, in an order that only the contents tell.

    Args:
        persons: the ground truth.
        results: COCO keypoint results: image_id, category_id, keypoints (x, y, score each) and score. Unchanged.
        sigmas: K OKS constants, `Skeleton.sigmas`.
        image_ids: measure on these images only; None means all.

    Returns:
        AP, AP50, AP75, APM, APL, AR, AR50, AR75, ARM and ARL, each in [0, 1]; without those of a size (M, L) that the
        ground truth has no person of.

    Raises:
        UserError: a result is of an image that is not listed or of another number of keypoints, or no person is
            labelled.
    """
    evaluation, in_order = coco_evaluation(persons, results, sigmas, image_ids)
    # pycocotools reports its progress on standard output, and offers no way to stop that.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics = {name: float(value) for name, value in zip(METRICS, evaluation.stats, strict=True) if value >= 0}
    if "AP" not in metrics:
        raise UserError(
            f"{persons.path}: none of the {len(in_order):,} images evaluated has a labelled person of "
            f"category {persons.category_id} ({persons.summary()})"
        )
    return metrics


def coco_evaluation(
    persons: PersonSet,
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    image_ids: Collection[int] | None = None,
) -> tuple[COCOeval, list[int]]:
    """What `keypoint_metrics` has pycocotools evaluate, for whoever wants more of it than ten figures.

    Arguments and errors as `keypoint_metrics`.

    Returns:
        the evaluation before its first step, and the ids of the images numbered 1, 2, … in it. Of its annotations,
        "place" is the index among the persons, then the ignored; of its results, the index among those given.
    """
    count, category_id = len(sigmas), persons.category_id
    chosen = persons.images.keys() if image_ids is None else persons.images.keys() & set(image_ids)
    if not chosen:  # To COCOeval an empty list means all images.
        raise UserError(f"{persons.path}: no image is left to evaluate")
    # Of COCO's names this is the order of their ids, which pycocotools takes.
    in_order = sorted(chosen, key=lambda image_id: (persons.images[image_id].file_name, image_id))
    numbers = {image_id: place for place, image_id in enumerate(in_order, start=1)}
    truths = _truth_entries(persons, numbers, count)
    of_persons = [(place, entry) for place, entry in enumerate(results) if entry["category_id"] == category_id]
    found = _result_entries(of_persons, persons.images, numbers, count)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco_index(numbers, truths), coco_index(numbers, found), "keypoints")
    evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
    return evaluation, in_order


def _truth_entries(persons: PersonSet, numbers: Mapping[int, int], count: int) -> list[dict[str, Any]]:
    """The annotations as COCOeval reads them, numbered from 1: it takes a matched annotation's id 0 for no match."""
    entries = []
    everyone: list[Person | Ignored] = [*persons.persons, *persons.ignored]
    for place, each in enumerate(everyone):
        if each.keypoints.shape != (count, 2):
            raise UserError(
                f"{persons.path}: persons have {len(each.keypoints)} keypoints; {count} OKS constants are given"
            )
        if each.image_id not in numbers:
            continue
        entries.append(
            {
                "image_id": numbers[each.image_id],
                "category_id": PERSON_CATEGORY,
                "bbox": list(each.box),
                "area": each.area,
                "keypoints": np.column_stack([each.keypoints, each.visible > 0]).ravel().tolist(),
                "num_keypoints": 0 if isinstance(each, Ignored) else int((each.visible > 0).sum()),
                "iscrowd": int(isinstance(each, Ignored) and each.crowd),
                "place": place,
            }
        )
    return _numbered(entries, lambda entry: (entry["image_id"], entry["bbox"], entry["area"], entry["keypoints"]))


def _result_entries(
    results: Iterable[tuple[int, Mapping[str, Any]]], images: Collection[int], numbers: Mapping[int, int], count: int
) -> list[dict[str, Any]]:
    """Results with the boxes and areas that `COCO.loadRes` gives them; it would change the caller's, and print."""
    entries = []
    for place, result in results:
        if result["image_id"] not in images:
            raise UserError(
                f"result {place + 1} is of image {result['image_id']!r}, which the ground truth does not list"
            )
        points = np.asarray(result["keypoints"], np.float64)
        if points.shape != (3 * count,):
            raise UserError(f"result {place + 1} has {points.size / 3:g} keypoints; the skeleton has {count}")
        if not (np.isfinite(points).all() and math.isfinite(result["score"])):
            raise UserError(f"result {place + 1} (image {result['image_id']}) is not finite")
        if result["image_id"] not in numbers:
            continue
        x, y = points[0::3], points[1::3]
        box = [x.min(), y.min(), np.ptp(x), np.ptp(y)]
        area = box[2] * box[3]
        if given := result.get("bbox"):
            box, area = given, given[2] * given[3]
        entries.append(
            {
                "image_id": numbers[result["image_id"]],
                "category_id": PERSON_CATEGORY,
                "bbox": box,
                "area": area,
                "keypoints": points.tolist(),
                "score": result["score"],
                "iscrowd": 0,
                "place": place,
            }
        )
    return _numbered(entries, lambda entry: (entry["image_id"], -entry["score"], entry["keypoints"]))


def _numbered(entries: list[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """Entries in an order that does not depend on the one they came in, with ids from 1."""
    return [entry | {"id": place} for place, entry in enumerate(sorted(entries, key=key), start=1)]


def coco_index(numbers: Mapping[int, int], annotations: list[dict[str, Any]]) -> COCO:
    """An index of pycocotools over numbered images and the entries of one category."""
    index = COCO()
    index.dataset = {
        "images": [{"id": number} for number in numbers.values()],
        "categories": [{"id": PERSON_CATEGORY}],
        "annotations": annotations,
    }
    index.createIndex()
    return index
