"""CVAT for images 1.1: an XML file of skeletons, or of points with or without boxes.

A skeleton is a person; its box is a box of its label or group in the same group_id, if there is one. Without skeletons,
`points` elements of several points are a person each, in their order; those of one point are keypoints by their label,
which a group_id or the box around them makes persons. `outside` is not labelled, `occluded` is occluded.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring, iterparse

from keras_simplepose.config import ImportConfig
from keras_simplepose.core.boxes import LARGEST
from keras_simplepose.data.fields import file_name_of
from keras_simplepose.data.imports.grouping import Region, SingleKeypoint, group_keypoints
from keras_simplepose.data.imports.image_files import ImageFolder
from keras_simplepose.data.imports.records import (
    PERSON,
    Export,
    ImportedImage,
    ImportedPerson,
    Split,
    choose_category,
    numbered,
    positions,
)
from keras_simplepose.data.persons import Box
from keras_simplepose.utils.errors import UserError, shown

SPLIT = "annotations"
Keypoint = tuple[str, float, float, int]


def read_cvat(path: Path, config: ImportConfig) -> Export:
    """Reads an annotations.xml.

    Raises:
        UserError: the file or an element is faulty; the message says which.
    """
    labels, images = _parse(path)
    shapes = {tag: [each for image in images for each in image.iter(tag)] for tag in ("skeleton", "points")}
    if shapes["skeleton"]:
        used = [_attribute(each, "label", str(path)) for each in shapes["skeleton"]]
        category = choose_category(used, config.category, str(path))
        names, edges = _skeleton_of(labels, category, shapes["skeleton"], path)
        kind = "skeleton"
    elif any(";" in each.get("points", "") for each in shapes["points"]):
        several = [_attribute(each, "label", str(path)) for each in shapes["points"] if ";" in each.get("points", "")]
        category = choose_category(several, config.category, str(path))
        counts = {len(each.get("points", "").split(";")) for each in shapes["points"] if each.get("label") == category}
        if len(counts) > 1:
            raise UserError(
                f"{path}: points elements of {shown(category)} have {shown(sorted(counts))} points; each person must "
                "have all keypoints, in one order (CVAT's skeletons allow hidden ones)"
            )
        names, edges, kind = numbered(counts.pop()), (), "points"
    else:
        boxes = [_attribute(each, "label", str(path)) for image in images for each in image.iter("box")]
        names = tuple(dict.fromkeys(_attribute(each, "label", str(path)) for each in shapes["points"]))
        if not names:
            raise UserError(f"{path}: holds neither skeletons nor points, so there is nothing to import")
        category = choose_category(boxes, config.category, str(path)) if boxes else (config.category or PERSON)
        edges, kind = (), "single"
    splits: dict[str, Split] = {}
    seen: set[tuple[str, str]] = set()
    folder = ImageFolder(config.images) if config.images else None
    for image in images:
        name = image.get("subset") or SPLIT
        split = splits.setdefault(name, Split(name, Path(config.images) if config.images else None))
        _read_image(image, kind, category, names, folder, split, seen, path)
    return Export("CVAT", category, names, kind != "points", list(splits.values()), edges=edges)


def _parse(path: Path) -> tuple[list[Element], list[Element]]:
    """The labels' and the images' elements."""
    labels: list[Element] = []
    images: list[Element] = []
    root = None
    try:
        for event, element in iterparse(path, events=("start", "end"), forbid_dtd=True):
            root = element if root is None else root
            if event == "start" and element.tag == "track":
                raise UserError(
                    f"{path}: is CVAT for video; export the task as CVAT for images 1.1 or COCO Keypoints 1.0"
                )
            if event == "end" and element.tag == "label":
                labels.append(element)
            elif event == "end" and element.tag == "image":
                images.append(element)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ParseError as error:
        raise UserError(f"{path}: not valid XML at line {error.position[0]}") from error
    except DefusedXmlException as error:
        raise UserError(f"{path}: declares a document type or entities, which CVAT's files do not") from error
    except (ValueError, LookupError) as error:
        raise UserError(f"{path}: not valid XML ({str(error)[:60]})") from error
    if root is None or root.tag != "annotations" or not images:
        raise UserError(f"{path}: not CVAT for images 1.1, which holds annotations of images")
    return labels, images


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


def _skeleton_of(
    labels: list[Element], category: str, used: list[Element], path: Path
) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """Names and edges of a skeleton: the labels', or, of a file without them, those of its elements."""
    stated = tuple(_text(label, "name") for label in labels if _text(label, "parent") == category)
    there = tuple(
        dict.fromkeys(
            _attribute(point, "label", str(path))
            for each in used
            if each.get("label") == category
            for point in each.iter("points")
        )
    )
    names = stated or there
    unknown = [name for name in there if name not in names]
    if unknown or not names or len(set(names)) < len(names):
        raise UserError(
            f"{path}: the label {shown(category)} has the points {shown(list(names))}, and its skeletons "
            f"{shown(list(unknown or there))}; export the task anew"
        )
    drawing = next((_text(label, "svg") for label in labels if _text(label, "name") == category), "")
    return names, tuple(_edges(drawing, names))


def _edges(drawing: str, names: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """The lines of a skeleton's drawing (SVG) that join two of its points; none of a drawing that is damaged."""
    try:
        root = fromstring(drawing if drawing.lstrip().startswith("<svg") else f"<svg>{drawing}</svg>", forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return
    elements = [(each, str(each.tag).rpartition("}")[2]) for each in root.iter()]
    nodes = {each.get("data-node-id"): each.get("data-label-name") for each, tag in elements if tag == "circle"}
    for each, tag in elements:
        ends = [nodes.get(each.get(f"data-node-{end}")) for end in ("from", "to")]
        if tag == "line" and ends[0] in names and ends[1] in names and ends[0] != ends[1]:
            yield names.index(str(ends[0])), names.index(str(ends[1]))


def _read_image(
    image: Element,
    kind: str,
    category: str,
    names: tuple[str, ...],
    folder: ImageFolder | None,
    split: Split,
    seen: set[tuple[str, str]],
    path: Path,
) -> None:
    name = file_name_of(image.get("name"), "name", f"{path}: an image")
    where = f"{path}: image {shown(name)}"
    size = round(_number(image, "height", where)), round(_number(image, "width", where))
    if min(size) < 1:
        raise UserError(f"{where}: is {size[1]}×{size[0]}; width and height must be > 0")
    file = name
    if folder is not None:
        found = folder.find(f"{split.name}/{name}")
        if found is None:
            split.left_out.add("annotated images that the folder does not have", name)
            return
        file = found
    if (split.name, file) in seen:
        raise UserError(f"{where} is there twice; rename one of the files, or import the tasks one by one")
    seen.add((split.name, file))
    split.images.append(ImportedImage(file, size))
    place = len(split.images) - 1
    boxes = list(_boxes(image, where))
    taken: set[int] = set()
    if kind == "skeleton":
        for element in image.iter("skeleton"):
            if element.get("label") != category:
                split.left_out.add(f"skeletons of class {shown(element.get('label'))}", where)
                continue
            found_points = [point for each in element.iter("points") for point in _keypoints(each, where)]
            repeated = [joint for joint, *_ in found_points if [each[0] for each in found_points].count(joint) > 1]
            if repeated:
                raise UserError(f"{where}: a skeleton has its point {shown(repeated[0])} twice")
            box = _box_of_group(boxes, _group(element), taken)
            split.persons.append(ImportedPerson(place, positions(names, found_points), where, box))
        single = [each for each in image.findall("points")]
        split.left_out.add("points beside skeletons", where, len(single))
    elif kind == "points":
        for element in image.findall("points"):
            if element.get("label") != category:
                split.left_out.add(f"points of class {shown(element.get('label'))}", where)
                continue
            values = [(*each[1:],) for each in _keypoints(element, where)]
            found_points = [(joint, *each) for joint, each in zip(names, values, strict=True)]
            box = _box_of_group(boxes, _group(element), taken)
            split.persons.append(ImportedPerson(place, positions(names, found_points), where, box))
    else:
        _read_single(image, boxes, category, names, split, place, where)
        taken = set(range(len(boxes)))
    others = [index for index in range(len(boxes)) if index not in taken]
    split.left_out.add("boxes in no group with a person", where, len(others))
    for element in image:
        if element.tag not in ("box", "points", "skeleton"):
            split.left_out.add(f"elements of type {shown(element.tag)}", where)


def _read_single(
    image: Element,
    boxes: list[tuple[str, str | None, Box]],
    category: str,
    names: tuple[str, ...],
    split: Split,
    place: int,
    where: str,
) -> None:
    """Persons of points that stand by themselves."""
    regions = []
    for index, (label, group, box) in enumerate(boxes):
        if label != category:
            split.left_out.add(f"boxes of class {shown(label)}", where)
        else:
            regions.append(Region(group or index, box))
    if len({region.group for region in regions}) < len(regions):
        raise UserError(f"{where}: two boxes of {shown(category)} are in one group; a group is a person")
    keypoints = [
        SingleKeypoint(*point, _group(element))
        for element in image.findall("points")
        for point in _keypoints(element, where)
    ]
    for person in group_keypoints(keypoints, regions, split, where):
        found = ((joint, *values) for joint, values in person.found.items())
        box_of_person = person.region.box if person.region else None
        split.persons.append(ImportedPerson(place, positions(names, found), where, box_of_person))


def _keypoints(element: Element, where: str) -> Iterator[Keypoint]:
    """(label, x, y, visibility) of the points of an element."""
    visibility = 0 if _is_set(element, "outside") else 1 if _is_set(element, "occluded") else 2
    label = _attribute(element, "label", where)
    for pair in element.get("points", "").split(";"):
        try:
            x, y = (float(each) for each in pair.split(","))
        except ValueError as error:
            raise UserError(f"{where}: the points of {shown(label)} are {shown(pair)}; they must be x,y") from error
        if not (abs(x) <= LARGEST and abs(y) <= LARGEST):
            raise UserError(f"{where}: a point of {shown(label)} is at {x:g}, {y:g}")
        yield label, x, y, visibility


def _is_set(element: Element, name: str) -> bool:
    return element.get(name, "0") not in ("0", "", "False", "false")


def _boxes(image: Element, where: str) -> Iterator[tuple[str, str | None, Box]]:
    """(label, group, box) of the image's boxes."""
    for each in image.findall("box"):
        left, top, right, bottom = (_number(each, name, where) for name in ("xtl", "ytl", "xbr", "ybr"))
        if right < left or bottom < top:
            raise UserError(f"{where}: a box ends before it begins ({left:g}, {top:g} to {right:g}, {bottom:g})")
        yield _attribute(each, "label", where), _group(each), (left, top, right - left, bottom - top)


def _group(element: Element) -> str | None:
    """The group that an element is in; 0 is CVAT's for none."""
    group = element.get("group_id")
    return None if group in (None, "", "0") else group


def _box_of_group(boxes: list[tuple[str, str | None, Box]], group: str | None, taken: set[int]) -> Box | None:
    for index, (_, other, box) in enumerate(boxes):
        if group and other == group and index not in taken:
            taken.add(index)
            return box
    return None


def _attribute(element: Element, name: str, where: str) -> str:
    value = element.get(name)
    if not value:
        raise UserError(f"{where}: a {element.tag} has no {name}")
    return value


def _number(element: Mapping[str, Any] | Element, name: str, where: str) -> float:
    text = element.get(name)
    try:
        value = float(text or "")
    except ValueError as error:
        raise UserError(f"{where}: {name} is {shown(text)}; it must be a number") from error
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise UserError(f"{where}: {name} is {shown(text)}; it must be a number of at most {LARGEST:g}")
    return value
