"""One annotation of a COCO keypoint file: what of it training and metrics take, and why not the rest."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_simplepose.core.boxes import LARGEST
from keras_simplepose.data.categories import Category
from keras_simplepose.data.fields import box_of, get, number
from keras_simplepose.data.persons import VISIBLE, Box, Ignored, ImageRecord, Person, area_of_box
from keras_simplepose.utils.errors import UserError, shown

# COCO's boxes are 1.27 times as wide and 1.20 times as high as the extent of 12 or more labelled keypoints (medians).
BOX_OF_KEYPOINTS = 1.25


@dataclass
class EntryReader:
    """Sorts annotations of the persons' category into persons and what is ignored, and counts what was done.

    Attributes:
        category: of the persons.
        count: of its keypoints.
        labelled_only: leaves out persons without a labelled keypoint.
        boxes_from_keypoints: as `coco.load_persons`.
        notes: what was estimated or put right.
        left_out: annotations left out, by reason.
        persons: those read.
        ignored: those left out that metrics must know.
    """

    category: Category
    count: int
    labelled_only: bool
    boxes_from_keypoints: bool
    notes: Counter[str]
    left_out: Counter[str] = field(default_factory=Counter)
    persons: list[Person] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)

    def read(self, entry: Mapping[str, Any], annotation_id: int, image: ImageRecord, where: str) -> None:
        """Reads one annotation.

        Raises:
            UserError: it is faulty; the message begins with `where`.
        """
        crowd = self._crowd(entry, where)
        keypoints, visible = self._keypoints(entry, crowd, where)
        box = self._box(entry, keypoints[visible > 0], where)
        area = self._area(entry, box, where)
        clipped, reason = _clip(box, image) if box else (None, "no box, and no keypoints to tell it from")
        if crowd:
            reason = "crowd"
        elif self.labelled_only and not visible.any():
            reason = reason or "no labelled keypoint"
        elif not reason and area <= 0:
            reason = "no area"
        if clipped and not reason:
            self.persons.append(Person(image.id, annotation_id, clipped, keypoints, visible, area))
            return
        self.left_out[reason] += 1
        if box:
            self.ignored.append(Ignored(image.id, annotation_id, box, keypoints, visible, max(area, 0.0), crowd))

    def _crowd(self, entry: Mapping[str, Any], where: str) -> bool:
        """Whether it is a crowd; absent, as pycocotools reads it, and null mean that it is none."""
        value = entry.get("iscrowd", 0)
        if value is None:
            self.notes["iscrowd that are null, taken as 0"] += 1
            return False
        if isinstance(value, str) or value not in (0, 1):
            text = ", which is text" if isinstance(value, str) else ""
            raise UserError(f"{where}: iscrowd is {shown(value)}{text}; it must be 0 or 1")
        return bool(value)

    def _keypoints(self, entry: Mapping[str, Any], crowd: bool, where: str) -> tuple[np.ndarray, np.ndarray]:
        """Points [K, 2] and visibility [K], both float32, in the skeleton's order."""
        if crowd and not entry.get("keypoints"):
            values: Any = [0] * (3 * self.count)
        else:
            values = get(entry, "keypoints", where)
        table = keypoint_table(values, self.count, where)
        empty = np.isnan(table[:, :2]).all(1)
        table[empty & np.isnan(table[:, 2]), 2] = 0
        if not ((table[:, 2] >= 0) & np.isfinite(table[:, 2])).all():
            raise UserError(
                f"{where}: keypoints holds a visibility that is negative or no number; 0, 1 and 2 are allowed"
            )
        labelled = table[:, 2] > 0
        bad = ~(np.abs(table[:, :2]) <= LARGEST).all(1)  # NaN as well.
        if (bad & labelled).any():
            place = int((bad & labelled).argmax())
            raise UserError(
                f"{where}: keypoints holds NaN, null, infinity or a number beyond {LARGEST:g} at place {place + 1}, "
                "which is labelled"
            )
        self.notes.update({"annotations with empty coordinates of unlabelled keypoints": 1} if empty.any() else {})
        table[bad, :2] = 0
        stated = entry.get("num_keypoints")
        if stated is not None and stated != int(labelled.sum()):
            self.notes["num_keypoints that are not the number of labelled keypoints"] += 1
        if self.category.order:
            table = table[list(self.category.order)]
        # Labelled stays labelled, whatever number says so.
        flags = np.clip(np.ceil(table[:, 2]), 0, VISIBLE)
        return table[:, :2].astype(np.float32), flags.astype(np.float32)

    def _box(self, entry: Mapping[str, Any], labelled: np.ndarray, where: str) -> Box | None:
        """The box, as annotated or from the labelled keypoints [L, 2]; None: it cannot be told."""
        stated = None if entry.get("bbox") is None else box_of(entry["bbox"], where)
        if stated and (max(stated[2:]) > 0 or not self.boxes_from_keypoints):
            return stated
        if not self.boxes_from_keypoints:
            raise UserError(f"{where} lacks 'bbox'; boxes_from_keypoints takes it from the keypoints")
        if not len(labelled):
            return stated
        box = box_of_keypoints(labelled)
        self.notes["boxes taken from keypoints"] += int(max(box[2:]) > 0)
        return box

    def _area(self, entry: Mapping[str, Any], box: Box | None, where: str) -> float:
        """The area as OKS takes it; one that is missing or not above 0 is estimated from the box, if it has a size."""
        value = entry.get("area")
        area = 0.0 if value is None else number(value, "area", where, LARGEST**2)
        if area > 0 or not box or not area_of_box(box):
            return area
        self.notes["areas estimated from boxes"] += 1
        return area_of_box(box)


def box_of_keypoints(labelled: np.ndarray) -> Box:
    """A person's box from its labelled keypoints [L, 2], L > 0: 1.25 times their extent, about its middle."""
    low, high = labelled.min(0).astype(float), labelled.max(0).astype(float)
    size = (high - low) * BOX_OF_KEYPOINTS
    x, y = (low + high - size) / 2
    return float(x), float(y), float(size[0]), float(size[1])


def keypoint_table(values: Any, count: int, where: str) -> np.ndarray:
    """[K, 3] float64 of K triples, flat or nested; null is NaN.

    Raises:
        UserError: they are none; the message begins with `where`.
    """
    if isinstance(values, list) and len(values) == count and all(isinstance(triple, list) for triple in values):
        values = [value for triple in values for value in (triple if len(triple) == 3 else [triple])]
    if not isinstance(values, list) or len(values) != 3 * count:
        length = f"holds {len(values)} numbers" if isinstance(values, list) else f"is {shown(values)}"
        raise UserError(f"{where}: keypoints {length}; {count} keypoints take {3 * count} (x, y, v each)")
    for value in values:
        if value is not None and type(value) not in (int, float):
            text = ", which is text" if isinstance(value, str) else ", which is no number"
            raise UserError(f"{where}: keypoints holds {shown(value)}{text}")
    try:
        return np.array(values, np.float64).reshape(count, 3)
    except OverflowError as error:
        raise UserError(f"{where}: keypoints holds a number beyond {LARGEST:g}") from error


def _clip(box: Box, image: ImageRecord) -> tuple[Box | None, str]:
    """The box by the release's rule, or None and why there is none."""
    x, y, width, height = box
    x1, y1 = max(0.0, x), max(0.0, y)
    x2 = min(image.width - 1.0, x1 + max(0.0, width - 1))
    y2 = min(image.height - 1.0, y1 + max(0.0, height - 1))
    if x2 < x1 or y2 < y1:
        return None, "outside the image"
    if x2 == x1 and y2 == y1:
        return None, "a box of one point"
    return (x1, y1, x2 - x1, y2 - y1), ""
