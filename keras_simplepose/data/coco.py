"""COCO keypoint annotations and detection results, read by the rules of the official release."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.categories import find_category
from keras_simplepose.data.coco_entries import EntryReader
from keras_simplepose.data.fields import box_of, entry_id, file_name_of, get, identifier, number
from keras_simplepose.data.image_paths import ImagePaths
from keras_simplepose.data.persons import PERSON_CATEGORY, Detection, ImageRecord, PersonSet
from keras_simplepose.media.images import image_size
from keras_simplepose.utils.errors import UserError, shown
from keras_simplepose.utils.files import read_json


def load_persons(
    annotations: str | Path,
    skeleton: Skeleton,
    labelled_only: bool = True,
    *,
    images: str | Path = "",
    trust_keypoint_order: bool = False,
    boxes_from_keypoints: bool = False,
    follow_paths: bool = False,
) -> PersonSet:
    """Reads a COCO keypoint file by the release's rules.

    Crowd regions are left out. Boxes are clipped: x1 = max(0, x), x2 = min(W − 1, x1 + max(0, w − 1)), y likewise; the
    box is then (x1, y1, x2 − x1, y2 − y1). Left out as well is what lies outside its image, and what the clipping
    leaves neither width nor height, which no crop can be made of. `PersonSet.left_out` counts them all, and metrics
    ignore them. The release also leaves out what states an area of 0; official files have none such, and where
    exporters write 0 it means that they do not know: the area is then estimated from the box.

    Labelled keypoints are those of visibility > 0, whatever num_keypoints says. Records that occur twice count once.

    Args:
        annotations: the JSON file.
        skeleton: chooses the category; see `categories.find_category`.
        labelled_only: leaves out persons without a labelled keypoint.
        images: folder of the images, if they are going to be read; files that do not state their sizes (PoseTrack's)
            need it.
        trust_keypoint_order: take the keypoints in the file's order, whatever their names.
        boxes_from_keypoints: where a box is missing or has no size, take the extent of the labelled keypoints, 1.25
            times as large.
        follow_paths: take names of images that lead out of their folder; see `image_paths`.

    Raises:
        UserError: the file, or an entry in it, is faulty; the message names file, entry and fault.
    """
    path = Path(annotations)
    tables = _read_tables(path)
    category = find_category(tables["categories"], skeleton, trust_keypoint_order, path)
    listed = {entry["id"] for entry in tables["categories"]}
    notes: Counter[str] = Counter()
    records = _read_images(tables["images"], path, images, ImagePaths(images, path, follow_paths), notes)
    reader = EntryReader(category, len(skeleton.keypoints), labelled_only, boxes_from_keypoints, notes)
    seen: dict[int, Mapping[str, Any]] = {}
    for entry in tables["annotations"]:
        annotation_id = entry_id(entry, "annotation", path)
        where = f"{path}: annotation {shown(annotation_id)}"
        if annotation_id in seen:
            _check_same(entry, seen[annotation_id], where)
            notes["annotation records that occur again"] += 1
            continue
        seen[annotation_id] = entry
        category_id = identifier(get(entry, "category_id", where), "category_id", where)
        if category_id != category.id:
            foreign = "of another category" if category_id in listed else "of a category that the file does not list"
            reader.left_out[foreign] += 1
            continue
        image_id = identifier(get(entry, "image_id", where), "image_id", where)
        if image_id not in records:
            raise UserError(f"{where} belongs to image {shown(image_id)}, which the file does not list")
        reader.read(entry, annotation_id, records[image_id], where)
    return PersonSet(
        path,
        records,
        tuple(reader.persons),
        category.id,
        dict(reader.left_out),
        tuple(reader.ignored),
        {note: count for note, count in notes.items() if count},
        (category.remark,) if category.remark else (),
        len(tables["categories"]) == 1,
    )


def load_detections(path: str | Path, person_set: PersonSet, notes: dict[str, int] | None = None) -> list[Detection]:
    """Reads COCO detection results of a data set; as `read_detections`.

    Where the annotations have one category only, whatever its id, results of COCO's persons (1) are of it.

    Args:
        path: the JSON file.
        person_set: the annotations the results belong to; its images and category count.
        notes: takes the numbers of results that were left out, or taken for the category.

    Raises:
        UserError: the file or an entry is faulty, or an entry's image is not in the set.
    """
    entries = _detection_entries(Path(path))
    category_id = person_set.category_id
    if person_set.only_category and {there for there, _ in entries.values()} == {PERSON_CATEGORY} != {category_id}:
        if notes is not None:
            notes[f"boxes of category {PERSON_CATEGORY} taken as {category_id}"] = len(entries)
        category_id = PERSON_CATEGORY
    detections = _of_category(entries, category_id, Path(path), notes)
    for place, detection in detections.items():
        if detection.image_id not in person_set.images:
            where = f"{path}: detection {place}"
            raise UserError(f"{where} is of image {shown(detection.image_id)}, which {person_set.path} does not list")
    return list(detections.values())


def read_detections(
    path: str | Path, category_id: int | None = None, notes: dict[str, int] | None = None
) -> dict[int, Detection]:
    """Reads COCO detection results: a list of {image_id, category_id, bbox, score}.

    Boxes are not clipped, as in the release. Other categories are left out.

    Args:
        path: the JSON file.
        category_id: of persons; None: the file's only one, or 1 if it has several.
        notes: takes the number of results that were left out.

    Returns:
        the detections by their place in the file.

    Raises:
        UserError: the file or an entry is faulty, or none is of the category.
    """
    entries = _detection_entries(Path(path))
    if category_id is None:
        there = {category for category, _ in entries.values()}
        category_id = there.pop() if len(there) == 1 else PERSON_CATEGORY
    return _of_category(entries, category_id, Path(path), notes)


def _detection_entries(path: Path) -> dict[int, tuple[int, dict[str, Any]]]:
    """Category and entry by place; images are known to have ids."""
    values = read_json(path)
    if not isinstance(values, list):
        raise UserError(f"{path}: not COCO detection results, which are a list of image_id, category_id, bbox, score")
    entries = {}
    for place, entry in enumerate(values):
        where = f"{path}: detection {place}"
        if not isinstance(entry, dict):
            raise UserError(f"{where} is {shown(entry)} where image_id, category_id, bbox and score are expected")
        image_id = identifier(get(entry, "image_id", where), "image_id", where)
        category_id = identifier(get(entry, "category_id", where), "category_id", where)
        entries[place] = category_id, entry | {"image_id": image_id}
    return entries


def _of_category(
    entries: Mapping[int, tuple[int, dict[str, Any]]], category_id: int, path: Path, notes: dict[str, int] | None
) -> dict[int, Detection]:
    detections = {}
    for place, (there, entry) in entries.items():
        if there != category_id:
            continue
        where = f"{path}: detection {place}"
        box, score = box_of(get(entry, "bbox", where), where), number(get(entry, "score", where), "score", where)
        detections[place] = Detection(entry["image_id"], box, score)
    if entries and not detections:
        others = sorted({there for there, _ in entries.values()})
        text = ", ".join(shown(other) for other in others[:5]) + (" and others" if len(others) > 5 else "")
        raise UserError(f"{path}: none of {len(entries):,} detections has category {category_id}; they have {text}")
    if notes is not None and len(entries) > len(detections):
        notes["boxes of other categories left out"] = len(entries) - len(detections)
    return detections


def _read_tables(path: Path) -> dict[str, list]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: not COCO annotations, which are a table of images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if not isinstance(values.get(key), list):
            raise UserError(f"{path}: has no list {key!r}; COCO annotations have images, annotations and categories")
    return values


def _check_same(one: Mapping[str, Any], other: Mapping[str, Any], where: str) -> None:
    """Records of one id must say the same."""
    for key in [*one, *other]:
        first, second = other.get(key, "nothing"), one.get(key, "nothing")
        if first != second:
            raise UserError(f"{where} occurs twice, with {key[:40]!r} {shown(first)} and {shown(second)}")


def _read_images(
    entries: list, path: Path, folder: str | Path, paths: ImagePaths, notes: Counter[str]
) -> dict[int, ImageRecord]:
    records: dict[int, ImageRecord] = {}
    for entry in entries:
        image_id = entry_id(entry, "image", path)
        where = f"{path}: image {shown(image_id)}"
        name = file_name_of(get(entry, "file_name", where), "file_name", where)
        paths.check(name)
        if folder and entry.get("height") is None and entry.get("width") is None:
            height, width = image_size(Path(folder) / name)
            notes["image sizes read from the files"] += image_id not in records
        else:
            height, width = (_side(entry, key, where) for key in ("height", "width"))
        record = ImageRecord(image_id, name, height, width)
        if image_id in records:
            _check_same(vars(record), vars(records[image_id]), where)
            notes["image records that occur again"] += 1
        records[image_id] = record
    return records


def _side(entry: Mapping[str, Any], key: str, where: str) -> int:
    if entry.get(key) is None:
        raise UserError(f"{where} lacks {key!r}; sizes are read from the image files if their folder is given")
    side = number(entry[key], key, where)
    if side < 1 or not side.is_integer():
        raise UserError(f"{where}: {key} is {side:g}; height and width must be whole and > 0")
    return int(side)
