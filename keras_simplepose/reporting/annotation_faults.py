"""Faults that a COCO keypoint file shows by itself: ids, boxes, keypoints, areas."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from keras_simplepose.reporting.findings import Finding
from keras_simplepose.utils.errors import shown

TINY = 4  # Pixels.
BEYOND = 2  # Pixels that rounding may take a box beyond its image.
OFF_THE_BOX = 0.5  # Of the box's larger side.
AREA_SLACK = 1.1


def image_table(images: Iterable[Any]) -> tuple[dict[Any, Mapping[str, Any]], list[Finding]]:
    """Image records by id, as far as they are looked at, and what is wrong with the list."""
    found: list[Finding] = []
    records: dict[Any, Mapping[str, Any]] = {}
    names: set[str] = set()
    for entry in images:
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str) or "id" not in entry:
            found.append(Finding("damaged value", f"image record {shown(entry)} lacks id or file_name"))
            continue
        number, name = entry["id"], entry["file_name"]
        if number in records:
            found.append(Finding("repeated image id", f"image {number} ({name})", image_id=number))
            continue
        if name in names:
            found.append(Finding("repeated image file", f"{name} is image {number} too", image_id=number))
        names.add(name)
        records[number] = {key: entry[key] for key in ("id", "file_name", "height", "width") if key in entry}
    return records, found


def annotation_faults(
    annotations: Iterable[Any], records: Mapping[Any, Mapping[str, Any]], keypoints: int, category_id: int
) -> Iterator[Finding]:
    """Yields the faults of annotations of a category, in the file's order."""
    ids: set[Any] = set()
    people: dict[Any, Any] = {}
    for entry in annotations:
        if not isinstance(entry, dict) or "id" not in entry:
            yield Finding("damaged value", f"annotation {shown(entry)} has no id")
            continue
        if entry.get("category_id") != category_id:
            continue
        number, image = entry["id"], entry.get("image_id")
        where = f"annotation {number}"
        if number in ids:
            yield Finding("repeated annotation id", where, number, image)
        ids.add(number)
        if image not in records:
            yield Finding("unknown image", f"{where}: image {shown(image)}", number)
            continue
        if entry.get("iscrowd"):
            continue
        for kind, text in _person_faults(entry, records[image], keypoints):
            yield Finding(kind, f"{where}, {records[image]['file_name']}: {text}", number, image)
        values = entry.get("keypoints")
        if isinstance(values, list) and any(values):
            key = (image, hashlib.blake2b(repr(values).encode("utf-8", "replace"), digest_size=16).digest())
            if key in people and people[key] != number:
                text = f"{where} has the keypoints of {people[key]}, {records[image]['file_name']}"
                yield Finding("repeated person", text, number, image)
            people.setdefault(key, number)


def points_table(values: Any, count: int) -> np.ndarray | None:
    """Keypoints [K, 3] as float64; None where they are no K triples of finite numbers."""
    try:
        table = np.array(values, np.float64)
    except (TypeError, ValueError):
        return None
    return table.reshape(count, 3) if table.size == 3 * count and np.isfinite(table).all() else None


def _person_faults(entry: Mapping[str, Any], record: Mapping[str, Any], count: int) -> Iterator[tuple[str, str]]:
    box, size = numbers_of(entry.get("bbox"), 4), numbers_of([record.get("width"), record.get("height")], 2)
    if box is None:
        yield "damaged value", f"bbox is {shown(entry.get('bbox'))}"
    elif size is not None:
        yield from _box_faults(box, size)
    area = entry.get("area")
    if not isinstance(area, int | float) or not area > 0:
        yield "area missing", f"area is {shown(area)}"
    elif box is not None and area > AREA_SLACK * box[2] * box[3]:
        yield "area beyond its box", f"area {area:.0f}, box of {box[2] * box[3]:.0f}"
    points = points_table(entry.get("keypoints"), count)
    if points is None:
        yield "damaged value", f"keypoints are no {count} triples of finite numbers"
        return
    visibility, labelled = points[:, 2], points[:, 2] > 0
    if not np.isin(visibility, (0, 1, 2)).all():
        yield "unknown visibility", f"{sorted(set(visibility) - {0, 1, 2})}"
    if (labelled & (points[:, :2] == 0).all(1)).any():
        yield "labelled at the origin", f"keypoint {int((labelled & (points[:, :2] == 0).all(1)).argmax())}"
    if ((visibility == 0) & (points[:, :2] != 0).any(1)).any():
        yield "unlabelled with a place", f"{int(((visibility == 0) & (points[:, :2] != 0).any(1)).sum())} keypoints"
    stated = entry.get("num_keypoints")
    if stated is not None and stated != int(labelled.sum()):
        yield "wrong count", f"num_keypoints {shown(stated)}, labelled {int(labelled.sum())}"
    if size is not None and ((points[labelled, :2] < -1) | (points[labelled, :2] > np.array(size) + 1)).any():
        yield "keypoint outside", "beyond the image"
    if box is not None and max(box[2:]) > 0:
        low, high = np.array(box[:2]), np.array(box[:2]) + box[2:]
        off = np.maximum(low - points[labelled, :2], points[labelled, :2] - high).max(initial=0)
        if off > OFF_THE_BOX * max(box[2:]):
            yield "keypoints off the box", f"by {off:.0f} pixels, box {box[2]:.0f}×{box[3]:.0f}"


def _box_faults(box: list[float], size: list[float]) -> Iterator[tuple[str, str]]:
    x, y, width, height = box
    text = f"box {x:.0f}, {y:.0f}, {width:.0f}×{height:.0f} in {size[0]:.0f}×{size[1]:.0f}"
    if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0 or min(width, height) < 0:
        yield "box outside", text
    elif x < -BEYOND or y < -BEYOND or x + width > size[0] + BEYOND or y + height > size[1] + BEYOND:
        yield "box beyond the image", text
    if 0 <= min(width, height) < TINY:
        yield "tiny box", text


def numbers_of(values: Any, count: int) -> list[float] | None:
    """So many finite numbers; None where they are none."""
    if not isinstance(values, list) or len(values) != count:
        return None
    if not all(type(each) in (int, float) and math.isfinite(each) for each in values):
        return None
    return [float(each) for each in values]
