"""A mended copy of a COCO keypoint file, and what was changed in it."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_simplepose.data.persons import area_of_box
from keras_simplepose.reporting.annotation_faults import points_table


def mend(tables: Mapping[str, Any], wanted: tuple[str, ...], count: int) -> tuple[dict[str, Any], Counter[str]]:
    """Mends what can be mended without looking at photographs.

    Args:
        tables: a COCO keypoint file; unchanged.
        wanted: keys of `MENDERS`.
        count: of keypoints.

    Returns:
        a copy, and how many entries each mender changed or left out.
    """
    changes: Counter[str] = Counter()
    annotations = [dict(each) for each in tables["annotations"] if isinstance(each, dict)]
    images = list(tables["images"])
    if "duplicates" in wanted:
        images = _distinct(images, changes, "image records left out", lambda each: each.get("id"))
        annotations = _distinct(annotations, changes, "annotations left out (repeated id)", lambda each: each.get("id"))
        annotations = _distinct(annotations, changes, "annotations left out (repeated person)", _person)
    sizes = {each.get("id"): (each.get("width"), each.get("height")) for each in images}
    for entry in annotations:
        for name in wanted:
            if name in MENDERS and MENDERS[name](entry, sizes.get(entry.get("image_id")), count):
                changes[f"{name} mended"] += 1
    return {**tables, "images": images, "annotations": annotations}, changes


def _distinct(entries: list, changes: Counter[str], note: str, key: Callable[[dict], Any]) -> list:
    """The entries without those of a key that came before; None stands for itself."""
    seen: set[Any] = set()
    kept = []
    for entry in entries:
        name = key(entry)
        if name is not None and name in seen:
            changes[note] += 1
            continue
        seen.add(name)
        kept.append(entry)
    return kept


def _person(entry: dict) -> Any:
    values = entry.get("keypoints")
    is_person = isinstance(values, list) and any(values) and not entry.get("iscrowd")
    return (entry.get("image_id"), entry.get("category_id"), str(values)) if is_person else None


def _area(entry: dict, size: Any, count: int) -> bool:
    area, box = entry.get("area"), entry.get("bbox")
    if (isinstance(area, int | float) and area > 0) or not isinstance(box, list) or len(box) != 4:
        return False
    entry["area"] = area_of_box((box[0], box[1], box[2], box[3]))
    return True


def _counts(entry: dict, size: Any, count: int) -> bool:
    points = points_table(entry.get("keypoints"), count)
    if points is None or entry.get("num_keypoints") == int((points[:, 2] > 0).sum()):
        return False
    entry["num_keypoints"] = int((points[:, 2] > 0).sum())
    return True


def _visibility(entry: dict, size: Any, count: int) -> bool:
    points = points_table(entry.get("keypoints"), count)
    if points is None:
        return False
    origin = (points[:, 2] > 0) & (points[:, :2] == 0).all(1)
    if not origin.any():
        return False
    entry["keypoints"] = [
        0 if place % 3 == 2 and origin[place // 3] else value
        for place, value in enumerate(np.array(entry["keypoints"], object).ravel().tolist())
    ]
    _counts(entry, size, count)
    return True


def _box(entry: dict, size: Any, count: int) -> bool:
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not size or None in size:
        return False
    low = [max(0, box[0]), max(0, box[1])]
    high = [min(size[0], box[0] + box[2]), min(size[1], box[1] + box[3])]
    clipped = [*low, high[0] - low[0], high[1] - low[1]]
    if clipped == box or min(clipped[2:]) <= 0:
        return False
    entry["bbox"] = clipped
    return True


MENDERS: dict[str, Callable[[dict, Any, int], bool]] = {
    "areas": _area,
    "visibility": _visibility,
    "counts": _counts,
    "boxes": _box,
}
