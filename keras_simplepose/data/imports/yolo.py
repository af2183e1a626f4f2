"""Ultralytics YOLO-pose: data.yaml and a text file of normalised labels for each image.

A line is `class cx cy w h`, then `x y` or `x y v` for each keypoint, all shares of the image as it is displayed. The
visibility v is 0 not labelled, 1 occluded, 2 visible; without it (0, 0) is not labelled, and the rest is visible.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
import yaml

from keras_simplepose.config import ImportConfig
from keras_simplepose.data.imports.image_files import size_as_displayed
from keras_simplepose.data.imports.records import (
    Export,
    ImportedImage,
    ImportedPerson,
    Split,
    choose_category,
    numbered,
)
from keras_simplepose.media.images import IMAGE_SUFFIXES
from keras_simplepose.utils.errors import UserError, shown
from keras_simplepose.utils.files import read_text

SPLITS = ("train", "val", "test")
FURTHEST = 1.0  # How far beyond its image, in images, a keypoint may lie; what lies further is no share of it.
LARGEST_COUNT = 1000  # Keypoints; more are a mistake.


def read_yolo(path: Path, config: ImportConfig) -> Export:
    """Reads a YOLO-pose data set by its data.yaml.

    Raises:
        UserError: the file, an image or a label line is faulty; the message says which.
    """
    values = _read_yaml(path)
    count, dimensions = _shape(values, path)
    classes = _classes(values, path)
    category = choose_category(classes.values(), config.category, str(path))
    number = next(key for key, name in classes.items() if name == category)
    names = _keypoint_names(values, number, count, path)
    export = Export("YOLO-pose", category, names or numbered(count), bool(names), [], _flip_pairs(values, count, path))
    root = _root(values, path)
    labels: dict[str, set[Path]] = {}
    for name in SPLITS:
        if values.get(name):
            images = _image_files(values[name], name, root, path)
            split = Split(name, _common_folder(images, root))
            export.splits.append(split)
            labels[name] = _read_split(split, images, classes, number, (count, dimensions), export)
    if not export.splits:
        raise UserError(f"{path}: names none of {', '.join(SPLITS)}; each is a folder, a list of them, or a text file")
    _count_left_over(export.splits, labels, (count, dimensions))
    return export


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}: not valid YAML{place}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: not a YOLO data file, which is a table of train, val, names and kpt_shape")
    return values


def _shape(values: Mapping[str, Any], path: Path) -> tuple[int, int]:
    shape = values.get("kpt_shape")
    if shape is None:
        raise UserError(f"{path}: has no kpt_shape, so its labels are boxes without keypoints")
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(each) is int for each in shape):
        raise UserError(f"{path}: kpt_shape is {shown(shape)}; it must be [number of keypoints, 2 or 3]")
    if not 0 < shape[0] <= LARGEST_COUNT or shape[1] not in (2, 3):
        raise UserError(f"{path}: kpt_shape is {shape}; it must be [number of keypoints, 2 or 3]")
    return shape[0], shape[1]


def _classes(values: Mapping[str, Any], path: Path) -> dict[int, str]:
    names = values.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if names is None and type(values.get("nc")) is int and 0 < values["nc"] <= LARGEST_COUNT:
        names = {place: str(place) for place in range(values["nc"])}
    if not isinstance(names, dict) or not names or not all(type(key) is int for key in names):
        raise UserError(f"{path}: names is {shown(names)}; it must list the classes")
    return {key: str(name) for key, name in names.items()}


def _keypoint_names(values: Mapping[str, Any], number: int, count: int, path: Path) -> tuple[str, ...]:
    """Those of a class; none where the file has none."""
    names = values.get("kpt_names")
    if isinstance(names, dict):
        names = names.get(number)
    if names is None:
        return ()
    if not isinstance(names, list) or len({str(name) for name in names}) != count:
        raise UserError(f"{path}: kpt_names is {shown(names)}; kpt_shape wants {count} different names")
    return tuple(map(str, names))


def _flip_pairs(values: Mapping[str, Any], count: int, path: Path) -> tuple[tuple[int, int], ...] | None:
    order = values.get("flip_idx")
    if not order:
        return None
    where = f"{path}: flip_idx"
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(map(str, range(count))):
        raise UserError(f"{where} is {shown(order)}; it must hold each of 0 to {count - 1} once")
    order = [int(each) for each in order]
    for place, other in enumerate(order):
        if order[other] != place:
            raise UserError(
                f"{where} sends keypoint {place} to {other} and {other} to {order[other]}; twice must lead back"
            )
    return tuple((place, other) for place, other in enumerate(order) if place < other)


def _root(values: Mapping[str, Any], path: Path) -> Path:
    """The folder that the splits' paths begin in: `path`, as seen from the file; the file's own where that is gone."""
    stated = values.get("path")
    root = path.parent / str(stated) if stated else path.parent
    return root if root.is_dir() else path.parent


def _image_files(value: Any, name: str, root: Path, path: Path) -> list[Path]:
    """The images of a split, in order: of folders, or of text files that list them."""
    entries = value if isinstance(value, list) else [value]
    images: list[Path] = []
    for entry in entries:
        where = f"{path}: {name}"
        if not isinstance(entry, str) or "\0" in entry:
            raise UserError(f"{where} is {shown(entry)}; it must be a folder or a text file")
        try:
            found = _found(root, entry, where)
        except OSError as error:
            raise UserError(f"{where}: {shown(entry)} cannot be looked at ({error.strerror})") from error
        if not found:
            raise UserError(f"{where}: {shown(entry)} holds no images")
        images += found
    return list(dict.fromkeys(images))


def _found(root: Path, entry: str, where: str) -> list[Path]:
    place = root / entry
    if not place.exists() and entry.startswith("../"):
        place = root / entry[3:]  # Roboflow writes them so.
    if place.is_dir():
        return [each for each in sorted(place.rglob("*")) if each.suffix.lower() in IMAGE_SUFFIXES]
    if place.is_file():
        return list(_listed(place, root))
    raise UserError(f"{where}: {place} is neither a folder nor a file; mend the path, or remove the line")


def _listed(path: Path, root: Path) -> Iterator[Path]:
    for line in read_text(path).splitlines():
        if line.strip():
            below = path.parent / line.strip()
            yield below if below.exists() else root / line.strip()


def _common_folder(images: Sequence[Path], root: Path) -> Path:
    """The deepest folder with all images; they are named from there."""
    folder = images[0].parent
    while not all(image.is_relative_to(folder) for image in images):
        if folder == folder.parent:
            return root
        folder = folder.parent
    return folder


def label_path(image: Path) -> Path:
    """Where an image's labels are: `labels` instead of the last folder called `images`, .txt instead of its suffix."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read_split(
    split: Split,
    images: Sequence[Path],
    classes: Mapping[int, str],
    number: int,
    shape: tuple[int, int],
    export: Export,
) -> set[Path]:
    """Reads the images and their labels, and gives the paths of the label files that belong to them."""
    seen = set()
    for image in tqdm.tqdm(images, desc=split.name, unit=" images"):
        labels = label_path(image)
        seen.add(labels)
        if not image.is_file():
            split.left_out.add("listed images that are not there", str(image))
            continue
        size, turned = size_as_displayed(image)
        export.turned += turned
        assert split.folder is not None
        name = image.relative_to(split.folder) if image.is_relative_to(split.folder) else image
        split.images.append(ImportedImage(name.as_posix(), size))
        if not labels.is_file():
            split.notes.add("images without a label file, taken as images without persons", str(image))
            continue
        for line, text in enumerate(read_text(labels).splitlines(), start=1):
            if text.strip():
                where = f"{labels} line {line}"
                values = _numbers(text.split(), shape, where)
                if values[0] not in classes:
                    raise UserError(f"{where}: class {values[0]:g} is none of the {len(classes)} in names")
                if values[0] != number:
                    split.left_out.add(f"boxes of class {shown(classes[int(values[0])])}", where)
                    continue
                split.persons.append(_person(values[1:], shape[1], size, len(split.images) - 1, where))
    return seen


def _count_left_over(splits: Sequence[Split], labels: Mapping[str, set[Path]], shape: tuple[int, int]) -> None:
    """Counts the label files beside those that were read: splits may share folders."""
    told: set[Path] = set().union(*labels.values())
    for split in splits:
        for folder in sorted({path.parent for path in labels[split.name]}):
            for path in sorted(folder.glob("*.txt")) if folder.is_dir() else ():
                if path not in told and _is_labels(path, shape):
                    told.add(path)
                    split.left_out.add("label files of no image that a split names", str(path))


def _is_labels(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a text file holds labels, and not names of classes or images."""
    words = read_text(path).split("\n", 1)[0].split()
    return len(words) == 5 + shape[0] * shape[1]


def _numbers(words: Sequence[str], shape: tuple[int, int], where: str) -> list[float]:
    wanted = 5 + shape[0] * shape[1]
    if len(words) != wanted:
        what = "a box without keypoints" if len(words) == 5 else f"{len(words)} numbers"
        raise UserError(f"{where}: holds {what}; kpt_shape {list(shape)} makes {wanted} numbers")
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise UserError(f"{where}: holds what is no number") from error
    if not all(map(math.isfinite, values)):
        raise UserError(f"{where}: holds what is no finite number")
    return values


def _person(values: Sequence[float], dimensions: int, size: tuple[int, int], image: int, where: str) -> ImportedPerson:
    height, width = size
    center_x, center_y, box_width, box_height = values[:4]
    points = np.array(values[4:]).reshape(-1, dimensions)
    if min(box_width, box_height) < 0 or max(map(abs, values[:4])) > 1 + FURTHEST:
        raise UserError(
            f"{where}: the box is {shown(list(values[:4]))}; it must be shares of the image, from 0 to 1, not pixels"
        )
    if dimensions == 3:
        visibility = points[:, 2]
        if not np.isin(visibility, (0, 1, 2)).all():
            raise UserError(f"{where}: a keypoint has the visibility {visibility.max():g}; it must be 0, 1 or 2")
    else:
        visibility = np.where((points == 0).all(1), 0, 2)
    labelled = points[visibility > 0, :2]
    if ((labelled < -FURTHEST) | (labelled > 1 + FURTHEST)).any():
        raise UserError(
            f"{where}: a keypoint is at {np.abs(labelled).max():g}; it must be a share of the image, from 0 to 1, "
            "not pixels"
        )
    keypoints = np.column_stack([points[:, :2] * (width, height), visibility])
    left, top = (center_x - box_width / 2) * width, (center_y - box_height / 2) * height
    return ImportedPerson(image, keypoints, where, (left, top, box_width * width, box_height * height))
