"""COCO keypoint annotations and detection results, read by the rules of the official release."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import read_json

Box = tuple[float, float, float, float]

# Files without segmentation (CrowdPose, AI Challenger) state no area; CrowdPose's evaluation takes this share of w·h.
AREA_OF_BOX = 0.53


@dataclass(frozen=True)
class ImageRecord:
    """An image as the annotations state it.

    Attributes:
        id: the annotations' identifier.
        file_name: path below the images' folder.
        height: in pixels.
        width: in pixels.
    """

    id: int
    file_name: str
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Person:
    """An annotated person.

    Attributes:
        image_id: of the image it is in.
        annotation_id: its own identifier.
        box: (x, y, width, height) in image pixels, clipped to the image if COCO's.
        keypoints: [K, 2] float32 (x, y) in image pixels; (0, 0), usually, where not labelled.
        visible: [K] float32, 1 where labelled (visible or occluded), else 0.
        area: of the person in square pixels, as OKS takes it.
    """

    image_id: int
    annotation_id: int
    box: Box
    keypoints: np.ndarray
    visible: np.ndarray
    area: float


@dataclass(frozen=True, eq=False)
class PersonSet:
    """The persons of one annotation file.

    Attributes:
        path: the file.
        images: all its images, those without persons too, by id.
        persons: in the file's order.
        category_id: the category whose keypoints fit the skeleton.
        left_out: how many annotations of the category were left out, by reason.
        set_aside: ids of the persons that `limited` took out; evaluation does not miss them.
        tables: the annotations as COCO has them, where the file is of another format.
    """

    path: Path
    images: dict[int, ImageRecord]
    persons: tuple[Person, ...]
    category_id: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    set_aside: frozenset[int] = frozenset()
    tables: Mapping[str, Any] | None = None

    @property
    def ground_truth(self) -> Path | Mapping[str, Any]:
        """What `coco_metrics.keypoint_metrics` measures against."""
        return self.path if self.tables is None else self.tables

    def by_image(self) -> dict[int, list[Person]]:
        """Persons by image id, in the order their images first occur; images without persons are absent."""
        groups: dict[int, list[Person]] = {}
        for person in self.persons:
            groups.setdefault(person.image_id, []).append(person)
        return groups

    def limited(self, maximum_persons: int) -> "PersonSet":
        """The set with its first persons only; 0 means all."""
        if not maximum_persons:
            return self
        rest = frozenset(person.annotation_id for person in self.persons[maximum_persons:])
        return replace(self, persons=self.persons[:maximum_persons], set_aside=self.set_aside | rest)


@dataclass(frozen=True)
class Detection:
    """A person found by a detector.

    Attributes:
        image_id: of the image it is in.
        box: (x, y, width, height) in image pixels; may reach beyond the image.
        score: the detector's confidence.
    """

    image_id: int
    box: Box
    score: float


def load_persons(annotations: str | Path, skeleton: Skeleton, labelled_only: bool = True) -> PersonSet:
    """Reads a COCO keypoint file by the release's rules.

    Crowd regions are left out. Boxes are clipped: x1 = max(0, x), x2 = min(W − 1, x1 + max(0, w − 1)), y likewise; the
    box is then (x1, y1, x2 − x1, y2 − y1). Left out as well is what has no area or lies outside its image, and what
    the clipping leaves neither width nor height, which no crop can be made of. `PersonSet.left_out` counts them all.

    Args:
        annotations: the JSON file; any category with keypoints will do.
        skeleton: chooses the category: the one with its keypoint names, else the only one with as many keypoints.
        labelled_only: leaves out persons without a labelled keypoint.

    Raises:
        UserError: the file, or an entry in it, is faulty; the message names file, entry and fault.
    """
    path = Path(annotations)
    values = _read_tables(path)
    category_id = _find_category(values["categories"], skeleton, path)
    images = _read_images(values["images"], path)
    persons, left_out, seen = [], Counter(), set()
    for entry in values["annotations"]:
        where = f"{path}: annotation {_identifier(entry, 'annotation', path)}"
        if entry["id"] in seen:
            raise UserError(f"{where} occurs twice; every id must be unique")
        seen.add(entry["id"])
        if _get(entry, "category_id", where) != category_id:
            continue
        image = images.get(_get(entry, "image_id", where))
        if image is None:
            raise UserError(f"{where} belongs to image {entry['image_id']!r}, which the file does not list")
        if entry.get("iscrowd"):  # As pycocotools reads it: absent means 0.
            left_out["crowd"] += 1
            continue
        person, reason = _read_person(entry, image, len(skeleton.keypoints), labelled_only, where)
        if person is None:
            left_out[reason] += 1
        else:
            persons.append(person)
    return PersonSet(path, images, tuple(persons), category_id, dict(left_out))


def load_detections(path: str | Path, person_set: PersonSet) -> list[Detection]:
    """Reads COCO detection results of a data set; as `read_detections`.

    Args:
        path: the JSON file.
        person_set: the annotations the results belong to; its images and category count.

    Raises:
        UserError: the file or an entry is faulty, or an entry's image is not in the set.
    """
    detections = read_detections(path, person_set.category_id)
    for number, detection in detections.items():
        if detection.image_id not in person_set.images:
            where = f"{path}: detection {number}"
            raise UserError(f"{where} is of image {detection.image_id!r}, which {person_set.path} does not list")
    return list(detections.values())


def read_detections(path: str | Path, category_id: int) -> dict[int, Detection]:
    """Reads COCO detection results: a list of {image_id, category_id, bbox, score}.

    Boxes are not clipped, as in the release. Other categories are left out.

    Args:
        path: the JSON file.
        category_id: of persons.

    Returns:
        the detections by their place in the file.

    Raises:
        UserError: the file or an entry is faulty.
    """
    path = Path(path)
    values = read_json(path)
    if not isinstance(values, list):
        raise UserError(f"{path}: not COCO detection results, which are a list of image_id, category_id, bbox, score")
    detections = {}
    for number, entry in enumerate(values):
        where = f"{path}: detection {number}"
        if not isinstance(entry, dict):
            raise UserError(f"{where} is no table of image_id, category_id, bbox, score")
        image_id = _get(entry, "image_id", where)
        if _get(entry, "category_id", where) != category_id:
            continue
        score = _number(_get(entry, "score", where), "score", where)
        detections[number] = Detection(image_id, _box(entry, where), score)
    return detections


def _get(entry: Mapping[str, Any], key: str, where: str) -> Any:
    try:
        return entry[key]
    except KeyError as error:
        raise UserError(f"{where} lacks {key!r}") from error


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{where}: {name} is {value!r}; it must be a finite number")
    return float(value)


def _identifier(entry: Any, kind: str, path: Path) -> int:
    """The entry's id, once it is known to be one."""
    if not isinstance(entry, dict):
        raise UserError(f"{path}: an {kind} is {str(entry)[:40]!r} where a table is expected")
    identifier = _get(entry, "id", f"{path}: an {kind}")
    if isinstance(identifier, bool) or not isinstance(identifier, int):
        raise UserError(f"{path}: an {kind} has id {identifier!r}; it must be an integer")
    return identifier


def _box(entry: Mapping[str, Any], where: str) -> Box:
    values = _get(entry, "bbox", where)
    if not isinstance(values, list) or len(values) != 4:
        raise UserError(f"{where}: bbox is {values!r}; it must be [x, y, width, height]")
    x, y, width, height = (_number(value, "bbox", where) for value in values)
    if width < 0 or height < 0:
        raise UserError(f"{where}: bbox {values} has a negative size")
    return x, y, width, height


def _read_tables(path: Path) -> dict[str, list]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: not COCO annotations, which are a table of images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        if not isinstance(values.get(key), list):
            raise UserError(f"{path}: has no list {key!r}; COCO annotations have images, annotations and categories")
    return values


def _find_category(categories: list, skeleton: Skeleton, path: Path) -> int:
    """The id of the category that fits the skeleton: by keypoint names, else by their number."""
    identifiers = [_identifier(category, "entry of categories", path) for category in categories]
    names = [tuple(category.get("keypoints") or ()) for category in categories]
    for fits in (lambda keypoints: keypoints == skeleton.keypoints, lambda k: len(k) == len(skeleton.keypoints)):
        found = [number for number, keypoints in enumerate(names) if fits(keypoints)]
        if len(found) == 1:
            return identifiers[found[0]]
        if found:
            which = ", ".join(str(identifiers[number]) for number in found)
            raise UserError(
                f"{path}: categories {which} all fit skeleton {skeleton.name}; keep one of them in the file"
            )
    there = ", ".join(
        f"{category.get('name', identifier)} has {len(keypoints)}"
        for category, identifier, keypoints in zip(categories, identifiers, names, strict=True)
    )
    raise UserError(
        f"{path}: no category has the {len(skeleton.keypoints)} keypoints of skeleton {skeleton.name}"
        f" ({there or 'there are no categories'}); give the skeleton of these annotations"
    )


def _read_images(entries: list, path: Path) -> dict[int, ImageRecord]:
    images: dict[int, ImageRecord] = {}
    for entry in entries:
        identifier = _identifier(entry, "image", path)
        where = f"{path}: image {identifier}"
        if identifier in images:
            raise UserError(f"{where} occurs twice; every id must be unique")
        name = _get(entry, "file_name", where)
        if not isinstance(name, str) or not name:
            raise UserError(f"{where}: file_name is {name!r}; it must be the name of a file")
        sizes = [_number(_get(entry, key, where), key, where) for key in ("height", "width")]
        if not all(size >= 1 and size.is_integer() for size in sizes):
            raise UserError(f"{where}: height and width are {sizes[0]:g} and {sizes[1]:g}; they must be whole and > 0")
        images[identifier] = ImageRecord(identifier, name, int(sizes[0]), int(sizes[1]))
    return images


def _read_keypoints(entry: Mapping[str, Any], count: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Points [K, 2] and visibility [K], both float32."""
    values = _get(entry, "keypoints", where)
    if not isinstance(values, list) or len(values) != 3 * count:
        length = len(values) if isinstance(values, list) else "no list of"
        raise UserError(f"{where}: keypoints holds {length} numbers; {count} keypoints take {3 * count} (x, y, v each)")
    try:
        table = np.array(values, dtype=np.float32).reshape(count, 3)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: keypoints holds something that is no number") from error
    if not np.isfinite(table).all():
        raise UserError(f"{where}: keypoints holds NaN or infinity")
    if (table[:, 2] < 0).any():
        raise UserError(f"{where}: keypoints holds a negative visibility; 0, 1 and 2 are allowed")
    return table[:, :2].copy(), np.minimum(table[:, 2], 1)


def _read_person(
    entry: Mapping[str, Any], image: ImageRecord, count: int, labelled_only: bool, where: str
) -> tuple[Person | None, str]:
    """The person, or None and the reason for leaving it out."""
    x, y, width, height = _box(entry, where)
    keypoints, visible = _read_keypoints(entry, count, where)
    area = _number(entry["area"], "area", where) if "area" in entry else AREA_OF_BOX * width * height
    if area <= 0:
        return None, "no area"
    x1, y1 = max(0.0, x), max(0.0, y)
    x2 = min(image.width - 1.0, x1 + max(0.0, width - 1))
    y2 = min(image.height - 1.0, y1 + max(0.0, height - 1))
    if x2 < x1 or y2 < y1:
        return None, "outside the image"
    if x2 == x1 and y2 == y1:
        return None, "a box of one point"
    if labelled_only and not visible.any():
        return None, "no labelled keypoint"
    return Person(image.id, entry["id"], (x1, y1, x2 - x1, y2 - y1), keypoints, visible, area), ""
