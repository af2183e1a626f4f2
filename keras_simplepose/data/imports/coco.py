"""COCO keypoints as Roboflow (`_annotations.coco.json` in each split) and CVAT (COCO Keypoints 1.0) export them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.config import ImportConfig
from keras_simplepose.core.boxes import LARGEST
from keras_simplepose.data.coco_entries import keypoint_table
from keras_simplepose.data.fields import box_of, entry_id, file_name_of, get, identifier, number
from keras_simplepose.data.imports.image_files import ImageFolder
from keras_simplepose.data.imports.records import Export, ImportedImage, ImportedPerson, Split, choose_category
from keras_simplepose.utils.errors import UserError, shown
from keras_simplepose.utils.files import read_json

ROBOFLOW_NAME, CVAT_PREFIX = "_annotations.coco.json", "person_keypoints_"
SINGLE = "annotations"
_KNOWN = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "keypoints", "num_keypoints", "segmentation"}


def files_of(path: Path) -> dict[str, tuple[Path, Path]]:
    """The JSON file and the folder of images of each split; none where a folder is no such export."""
    if path.is_file():
        return {_split_name(path): (path, path.parent)}
    found = {each.parent.name: (each, each.parent) for each in sorted(path.glob(f"*/{ROBOFLOW_NAME}"))}
    if (path / ROBOFLOW_NAME).is_file():
        found[SINGLE] = (path / ROBOFLOW_NAME, path)
    for each in sorted(path.glob(f"annotations/{CVAT_PREFIX}*.json")):
        name = each.stem.removeprefix(CVAT_PREFIX)
        below = path / "images" / name
        found[name] = each, below if below.is_dir() else path / "images"
    return found


def _split_name(path: Path) -> str:
    if path.name == ROBOFLOW_NAME:
        return path.parent.name or SINGLE
    return path.stem.removeprefix(CVAT_PREFIX) or SINGLE


def read_coco(path: Path, config: ImportConfig) -> Export:
    """Reads COCO keypoint files.

    Raises:
        UserError: a file or an entry is faulty, or the splits contradict each other; the message says which.
    """
    files = files_of(path)
    tables = {name: _tables(file) for name, (file, _) in files.items()}
    categories = {name: _with_keypoints(tables[name]["categories"], files[name][0]) for name in files}
    known = [title for each in categories.values() for title in each]
    category = choose_category(known, config.category, str(path))
    export: Export | None = None
    for name, (file, folder) in files.items():
        if category not in categories[name]:
            raise UserError(f"{file}: has no category {shown(category)} with keypoints, which another split has")
        number_of_it, names, edges = categories[name][category]
        if export is None:
            export = Export("COCO keypoints", category, names, True, [], edges=edges)
        if set(names) != set(export.names):
            raise UserError(
                f"{file}: category {shown(category)} has the keypoints {shown(list(names))}, in another split "
                f"{shown(list(export.names))}"
            )
        order = [names.index(each) for each in export.names]
        split = Split(name, Path(config.images) if config.images else folder)
        _read_file(tables[name], file, number_of_it, order, split, bool(config.images))
        export.splits.append(split)
    assert export is not None
    return export


def _tables(path: Path) -> dict[str, list]:
    values = read_json(path)
    wanted = ("images", "annotations", "categories")
    if not isinstance(values, dict) or not all(isinstance(values.get(key), list) for key in wanted):
        raise UserError(f"{path}: not COCO annotations, which have lists of images, annotations and categories")
    return values


def _with_keypoints(
    categories: Sequence[Any], path: Path
) -> dict[str, tuple[int, tuple[str, ...], tuple[tuple[int, int], ...]]]:
    """Id, names and edges of the categories that have keypoints, by title."""
    found = {}
    for entry in categories:
        number_of_it = entry_id(entry, "entry of categories", path)
        names = entry.get("keypoints")
        if not names:
            continue
        title = str(entry.get("name", number_of_it))
        where = f"{path}: category {shown(title)}"
        if not isinstance(names, list) or not all(isinstance(each, str) and each for each in names):
            raise UserError(f"{where}: keypoints is {shown(names)}; it must be the list of their names")
        if len(set(names)) < len(names):
            raise UserError(f"{where}: two keypoints have one name in {shown(names)}")
        if title in found:
            raise UserError(f"{where} is there twice")
        found[title] = number_of_it, tuple(names), _edges(entry.get("skeleton") or [], len(names), where)
    return found


def _edges(values: Any, count: int, where: str) -> tuple[tuple[int, int], ...]:
    """Index pairs of COCO's skeleton, which counts from 1."""
    edges = []
    for pair in values if isinstance(values, list) else [values]:
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(each) is int for each in pair):
            raise UserError(f"{where}: skeleton holds {shown(pair)}; it must hold pairs of keypoints")
        if not all(1 <= each <= count for each in pair) or pair[0] == pair[1]:
            raise UserError(
                f"{where}: skeleton holds {shown(pair)}; it must hold pairs of different keypoints, 1 to {count}"
            )
        edges.append((pair[0] - 1, pair[1] - 1))
    return tuple(edges)


def _read_file(
    tables: Mapping[str, list], path: Path, category_id: int, order: list[int], split: Split, look_up: bool
) -> None:
    folder = ImageFolder(split.folder) if look_up and split.folder else None
    places: dict[int, int] = {}
    absent: set[int] = set()
    for entry in tables["images"]:
        image_id = entry_id(entry, "image", path)
        where = f"{path}: image {shown(image_id)}"
        name = file_name_of(get(entry, "file_name", where), "file_name", where)
        size = [number(get(entry, key, where), key, where) for key in ("height", "width")]
        if min(size) < 1 or not all(side.is_integer() for side in size):
            raise UserError(f"{where}: is {size[1]:g}×{size[0]:g}; height and width must be whole and > 0")
        if image_id in places or image_id in absent:
            raise UserError(f"{where} is there twice; `check` with fix=duplicates mends the file")
        found = folder.find(name) if folder else name
        if found is None:
            split.left_out.add("annotated images that the folder does not have", name)
            absent.add(image_id)
            continue
        places[image_id] = len(split.images)
        split.images.append(ImportedImage(found, (int(size[0]), int(size[1])), image_id))
    for entry in tables["annotations"]:
        where = f"{path}: annotation {shown(entry_id(entry, 'annotation', path))}"
        if identifier(get(entry, "category_id", where), "category_id", where) != category_id:
            split.left_out.add("annotations of another category", where)
            continue
        image_id = identifier(get(entry, "image_id", where), "image_id", where)
        if image_id in absent:
            split.left_out.add("persons of images that the folder does not have", where)
            continue
        if image_id not in places:
            raise UserError(f"{where} belongs to image {shown(image_id)}, which the file does not list")
        for key in sorted(map(str, entry.keys() - _KNOWN)):
            split.left_out.add(f"fields {shown(key)} of annotations", where)
        split.persons.append(_person(entry, places[image_id], order, where))


def _person(entry: Mapping[str, Any], image: int, order: list[int], where: str) -> ImportedPerson:
    crowd = entry.get("iscrowd") or 0
    if crowd not in (0, 1):
        raise UserError(f"{where}: iscrowd is {shown(crowd)}; it must be 0 or 1")
    values = entry.get("keypoints")
    points = keypoint_table(values if values else [0] * (3 * len(order)), len(order), where)
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise UserError(f"{where}: keypoints holds a visibility other than 0, 1 and 2")
    labelled = points[:, 2] > 0
    if not (np.abs(points[labelled, :2]) <= LARGEST).all():
        raise UserError(f"{where}: a labelled keypoint has no place, or one beyond {LARGEST:g}")
    points[~labelled] = np.nan_to_num(points[~labelled], posinf=0, neginf=0)
    box = box_of(entry["bbox"], where) if entry.get("bbox") else None
    area = entry.get("area") or 0.0
    return ImportedPerson(
        image,
        points[order],
        where,
        box,
        number(area, "area", where, LARGEST**2),
        bool(crowd),
        entry.get("segmentation"),
    )
