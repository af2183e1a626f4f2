"""Label Studio: its JSON export, of key points in percent of the image, with or without rectangles.

What belongs to one person is told by the regions' tree (parentID), by relations, or by the rectangle a point lies in.
Label Studio knows no visibility: a point that is there is visible, unless a choice for the region (perRegion) says
occluded or hidden.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from keras_simplepose.config import ImportConfig
from keras_simplepose.data.fields import file_name_of, number
from keras_simplepose.data.imports.grouping import Region, SingleKeypoint, group_keypoints
from keras_simplepose.data.imports.image_files import ImageFolder, size_as_displayed
from keras_simplepose.data.imports.records import (
    PERSON,
    Export,
    ImportedImage,
    ImportedPerson,
    Split,
    choose_category,
    positions,
)
from keras_simplepose.data.persons import Box
from keras_simplepose.utils.errors import UserError, shown
from keras_simplepose.utils.files import read_json

SPLIT = "annotations"
OCCLUDED = {"occluded", "hidden", "invisible", "not visible", "covered"}
VISIBLE = {"visible"}
_POINTS, _RECTANGLES = {"keypoint", "keypointlabels"}, {"rectangle", "rectanglelabels"}
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # Before the name of an uploaded file.
_LARGEST_PERCENT = 1000.0


@dataclass
class _Shape:
    """A region: what all results of one id say."""

    key: str
    kind: str = ""
    value: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    parent: str | None = None
    size: tuple[int, int] | None = None
    rotated: bool = False


@dataclass
class _Task:
    """An annotated image."""

    where: str
    image: str
    shapes: dict[str, _Shape]


def read_label_studio(path: Path, config: ImportConfig) -> Export:
    """Reads a JSON export of Label Studio.

    Raises:
        UserError: the file or a result is faulty or contradicts another; the message says which.
    """
    values = read_json(path)
    tasks = values if isinstance(values, list) else [values]
    if not tasks or not all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks):
        lacking = "whose results have no ids (JSON-MIN?)" if isinstance(values, list) and values else "of no tasks"
        raise UserError(f"{path}: a list {lacking}; export from Label Studio as JSON, a list of tasks with data")
    split = Split(SPLIT, Path(config.images) if config.images else None)
    annotated = [task for place, value in enumerate(tasks) if (task := _task(value, place, path, config, split))]
    shapes = [shape for task in annotated for shape in task.shapes.values()]
    names = tuple(dict.fromkeys(label for shape in shapes if shape.kind == "point" for label in shape.labels))
    if not names:
        raise UserError(f"{path}: holds no labelled key points (keypointlabels)")
    classes = [label for shape in shapes if shape.kind == "rectangle" for label in shape.labels]
    category = choose_category(classes, config.category, str(path)) if classes else (config.category or PERSON)
    folder = ImageFolder(config.images) if config.images else None
    for task in annotated:
        _read_task(task, category, names, folder, split)
    return Export("Label Studio", category, names, True, [split])


def _task(task: Mapping[str, Any], place: int, path: Path, config: ImportConfig, split: Split) -> _Task | None:
    """The annotation of a task that counts; None where there is none."""
    where = f"{path}: task {shown(task.get('id', place))}"
    annotations = task.get("annotations", task.get("completions"))
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise UserError(f"{where}: annotations is {shown(annotations)}; it must be a list of tables")
    image = _image_of(task["data"], where, config.image_key)
    valid = [each for each in annotations if not (each.get("was_cancelled") or each.get("skipped"))]
    split.left_out.add("annotations that were skipped", where, len(annotations) - len(valid))
    if not valid:
        split.left_out.add("tasks without an annotation", where)
        return None
    chosen = max(valid, key=lambda each: (bool(each.get("ground_truth")), str(each.get("updated_at", ""))))
    split.left_out.add("annotations beside a task's ground truth or newest", where, len(valid) - 1)
    results = chosen.get("result")
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise UserError(f"{where}: result is {shown(results)}; it must be a list of tables")
    return _Task(where, image, _shapes(results, where, split))


def _image_of(data: Mapping[str, Any], where: str, key: str) -> str:
    texts = {name: value for name, value in data.items() if isinstance(value, str) and value and "\0" not in value}
    if not key:
        key = next(iter(texts)) if len(texts) == 1 else "image"
    if key not in texts:
        raise UserError(f"{where}: which of {shown(list(data))} is the image? give image_key")
    return texts[key]


def _shapes(results: Sequence[Mapping[str, Any]], where: str, split: Split) -> dict[str, _Shape]:
    """The regions of an annotation by id."""
    shapes: dict[str, _Shape] = {}
    relations = []
    for place, result in enumerate(results):
        kind = result.get("type")
        if kind == "relation":
            relations.append((str(result.get("from_id")), str(result.get("to_id"))))
            continue
        key = str(result.get("id", f"result {place}"))
        here = f"{where}, result {shown(key)}"
        value = result.get("value")
        if not isinstance(kind, str) or not isinstance(value, dict):
            raise UserError(f"{here}: has no type or no value")
        shape = shapes.setdefault(key, _Shape(key))
        if kind in _POINTS | _RECTANGLES:
            shape.kind, shape.value = ("point" if kind in _POINTS else "rectangle"), value
            shape.parent = str(result["parentID"]) if result.get("parentID") else shape.parent
            shape.size = _size(result, here)
            shape.rotated = bool(result.get("image_rotation"))
        elif kind not in ("labels", "choices"):
            split.left_out.add(f"results of type {shown(kind)}", here)
        for name in ("keypointlabels", "rectanglelabels", "labels"):
            shape.labels += [each for each in _texts(value.get(name, []), here) if each not in shape.labels]
        shape.choices += _texts(value.get("choices", []), here)
    for one, other in relations:
        if {one, other} <= shapes.keys() and {shapes[one].kind, shapes[other].kind} == {"point", "rectangle"}:
            point, rectangle = (one, other) if shapes[one].kind == "point" else (other, one)
            shapes[point].parent = shapes[point].parent or rectangle
        else:
            split.left_out.add("relations that join no point to a rectangle", where)
    return {key: shape for key, shape in shapes.items() if shape.kind}


def _texts(values: Any, where: str) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise UserError(f"{where}: labels are {shown(values)}; they must be a list of texts")
    return values


def _size(result: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    """(height, width) of the image, where the result states it."""
    if result.get("original_width") is None or result.get("original_height") is None:
        return None
    height, width = (number(result[key], key, where) for key in ("original_height", "original_width"))
    if min(height, width) < 1:
        raise UserError(f"{where}: the image is {width:g}×{height:g}; original_width and original_height must be > 0")
    return round(height), round(width)


def _read_task(task: _Task, category: str, names: tuple[str, ...], folder: ImageFolder | None, split: Split) -> None:
    shapes, where = task.shapes, task.where
    name, file = _file_name(task.image, folder)
    if folder is not None and file is None:
        split.left_out.add("annotated images that the folder does not have", f"{name} ({where})")
        return
    if any(shape.rotated for shape in shapes.values()):
        split.left_out.add("images that were rotated in Label Studio", where)
        return
    sizes = {shape.size for shape in shapes.values() if shape.size}
    if len(sizes) > 1:
        raise UserError(f"{where}: its results state images of several sizes: {shown(sorted(sizes))} (height, width)")
    if not sizes:
        if file is None:
            raise UserError(f"{where}: no result states the image's size; give images, the folder to read it from")
        sizes = {size_as_displayed(file)[0]}
    (size,) = sizes
    split.images.append(ImportedImage(file_name_of(name, "the image", where), size))
    regions = []
    for shape in shapes.values():
        if shape.kind != "rectangle":
            continue
        if shape.labels and category not in shape.labels:
            split.left_out.add(f"rectangles of class {shown(shape.labels[0])}", f"{where}, result {shape.key}")
            continue
        regions.append(Region(shape.key, _box(shape, size, f"{where}, result {shape.key}", split)))
    keypoints = list(_keypoints(shapes, {region.group for region in regions}, size, where, split))
    for group in group_keypoints(keypoints, regions, split, name):
        found = ((joint, *values) for joint, values in group.found.items())
        box = group.region.box if group.region else None
        split.persons.append(ImportedPerson(len(split.images) - 1, positions(names, found), where, box))


def _keypoints(
    shapes: Mapping[str, _Shape], regions: set[Any], size: tuple[int, int], where: str, split: Split
) -> Iterator[SingleKeypoint]:
    height, width = size
    for shape in shapes.values():
        if shape.kind != "point":
            continue
        here = f"{where}, result {shape.key}"
        if not shape.labels:
            split.left_out.add("key points without a label", here)
            continue
        x, y = (number(shape.value.get(key), key, here, _LARGEST_PERCENT) / 100 for key in ("x", "y"))
        owner = _owner(shape, shapes, here)
        if owner and owner in shapes and shapes[owner].kind == "rectangle" and owner not in regions:
            split.left_out.add("key points of rectangles of another class", here)
            continue
        for label in shape.labels:
            yield SingleKeypoint(label, x * width, y * height, _visibility(shape, here, split), owner)


def _visibility(shape: _Shape, where: str, split: Split) -> int:
    said = {choice.casefold() for choice in shape.choices}
    unknown = said - OCCLUDED - VISIBLE
    split.left_out.add("choices that say nothing of visibility", f"{shown(sorted(unknown))}, {where}", bool(unknown))
    return 1 if said & OCCLUDED else 2


def _owner(shape: _Shape, shapes: Mapping[str, _Shape], where: str) -> str | None:
    """What a point belongs to: the nearest rectangle above it in the regions' tree, else the top; None: nothing.

    A point with points below it is the top of its own person.
    """
    seen, here = {shape.key}, shape
    while here.parent:
        if here.parent in seen:
            raise UserError(f"{where}: its parentID leads back to itself")
        seen.add(here.parent)
        above = shapes.get(here.parent)
        if above is None:
            return here.parent  # A region of a kind that is not read, such as a polygon; it groups all the same.
        if above.kind == "rectangle":
            return above.key
        here = above
    is_top = here is shape and not any(each.parent == shape.key for each in shapes.values())
    return None if is_top else here.key


def _box(shape: _Shape, size: tuple[int, int], where: str, split: Split) -> Box:
    """A rectangle in pixels; of a rotated one, which turns about its first corner, the extent."""
    x, y, width, height = (
        number(shape.value.get(key), key, where, _LARGEST_PERCENT) / 100 * size[key in ("x", "width")]
        for key in ("x", "y", "width", "height")
    )
    angle = math.radians(number(shape.value.get("rotation") or 0, "rotation", where))
    if width < 0 or height < 0:
        raise UserError(f"{where}: the rectangle has a negative size")
    if not angle:
        return x, y, width, height
    split.notes.add("rotated rectangles, taken as their extent", where)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ turn
    low, high = corners.min(0), corners.max(0)
    return float(x + low[0]), float(y + low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _file_name(address: str, folder: ImageFolder | None) -> tuple[str, Path | None]:
    """An image's name below its folder, and the file, if the folder is known and has it."""
    parts = urlsplit(address)
    path = parse_qs(parts.query).get("d", [unquote(parts.path)])[0].strip("/")
    bare = path.rpartition("/")[2]
    original = _UPLOAD.sub("", bare)
    if folder is None:
        return bare or address, None
    for name in dict.fromkeys((path, bare, original)):
        if found := folder.find(name):
            return found, folder.path / found
    return original, None
