"""The persons of a data set, as every format of annotations ends up: the one truth of training and of metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

Box = tuple[float, float, float, float]

OCCLUDED, VISIBLE = 1.0, 2.0  # COCO's v of labelled keypoints.
PERSON_CATEGORY = 1  # Of persons in COCO, and where a file says nothing of categories.

# Files without segmentation (CrowdPose, AI Challenger) state no area; CrowdPose's evaluation takes this share of w·h.
AREA_OF_BOX = 0.53


def area_of_box(box: Box) -> float:
    """The area of a person, in square pixels, as far as the box (x, y, width, height) tells it."""
    return AREA_OF_BOX * box[2] * box[3]


def whole_box(box: Box) -> Box:
    """A person's box with the last column and row of pixels, which the release's clipping leaves out."""
    return (box[0], box[1], box[2] + 1, box[3] + 1)


def to_int64(identifier: int) -> int:
    """An id as the 64 bits that records and tensors have for it; what lies beyond them is folded into them."""
    return (identifier + 2**63) % 2**64 - 2**63


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
        visible: [K] float32, COCO's v: 0 not labelled, 1 occluded, 2 visible; 1 where labelled, of a set that does not
            tell (`PersonSet.tells_occlusion`).
        area: of the person in square pixels, as OKS takes it.
    """

    image_id: int
    annotation_id: int
    box: Box
    keypoints: np.ndarray
    visible: np.ndarray
    area: float


@dataclass(frozen=True, eq=False)
class Ignored:
    """An annotation that metrics neither demand nor hold against a pose on it.

    Those are crowds, persons without a labelled keypoint, and persons of whom no crop can be made.

    Attributes:
        image_id: of the image it is in.
        annotation_id: its own identifier.
        box: (x, y, width, height) in image pixels, as annotated.
        keypoints: as `Person.keypoints`.
        visible: as `Person.visible`.
        area: in square pixels, at least 0.
        crowd: whether it may take in several poses.
    """

    image_id: int
    annotation_id: int
    box: Box
    keypoints: np.ndarray
    visible: np.ndarray
    area: float
    crowd: bool


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


@dataclass(frozen=True, eq=False)
class PersonSet:
    """The persons of one annotation file.

    Attributes:
        path: the file.
        images: all its images, those without persons too, by id.
        persons: in the file's order.
        category_id: the category whose keypoints fit the skeleton.
        left_out: how many annotations were left out, by reason.
        ignored: those of them that metrics must know.
        notes: how many values were estimated or put right, by what was done.
        remarks: what was done about the keypoints' order, if anything.
        only_category: whether the file lists no other category.
    """

    path: Path
    images: dict[int, ImageRecord]
    persons: tuple[Person, ...]
    category_id: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    only_category: bool = True

    @property
    def tells_occlusion(self) -> bool:
        """Whether occluded keypoints are told from visible ones; MPII's and PoseTrack's flags are 0 and 1 only."""
        return any((person.visible == VISIBLE).any() for person in self.persons)

    def by_image(self) -> dict[int, list[Person]]:
        """Persons by image id, in the order their images first occur; images without persons are absent."""
        groups: dict[int, list[Person]] = {}
        for person in self.persons:
            groups.setdefault(person.image_id, []).append(person)
        return groups

    def limited(self, maximum_persons: int) -> "PersonSet":
        """The set with its first persons only, the others unknown to metrics as well; 0 means all."""
        if not maximum_persons:
            return self
        return replace(self, persons=self.persons[:maximum_persons])

    def summary(self) -> str:
        """One line: how many persons there are, what was estimated, and what was left out and why."""
        return summary_line(len(self.persons), self.left_out, self.notes, self.remarks)


def summary_line(
    count: int, left_out: Mapping[str, int], notes: Mapping[str, int] | None = None, remarks: tuple[str, ...] = ()
) -> str:
    """As `PersonSet.summary`, of figures that stand elsewhere."""
    parts = [f"{count:,} person{'s' * (count != 1)}", *(f"{number:,} {note}" for note, number in (notes or {}).items())]
    return "; ".join([*parts, *(f"{number:,} left out ({reason})" for reason, number in left_out.items()), *remarks])
