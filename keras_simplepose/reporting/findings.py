"""What the examination of a data set finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
# Error: training or figures go wrong. Warning: they may. Note: to know of.
KINDS: dict[str, tuple[Severity, str]] = {
    "damaged value": ("error", "a field that is missing, no number, or of the wrong length"),
    "repeated annotation id": ("error", "two annotations of one id"),
    "repeated image id": ("error", "two image records of one id"),
    "repeated image file": ("warning", "two image records of one file"),
    "unknown image": ("error", "an annotation of an image that is not listed"),
    "repeated person": ("warning", "two annotations of one person: the same keypoints"),
    "box outside": ("error", "a box that does not touch its image"),
    "box beyond the image": ("warning", "a box that reaches more than 2 pixels beyond its image"),
    "tiny box": ("note", "a box with a side below 4 pixels"),
    "keypoints off the box": ("warning", "a labelled keypoint further outside its box than half its larger side"),
    "keypoint outside": ("warning", "a labelled keypoint outside its image"),
    "labelled at the origin": ("error", "a keypoint labelled at (0, 0)"),
    "unlabelled with a place": ("note", "a keypoint of visibility 0 with coordinates"),
    "unknown visibility": ("error", "a visibility other than 0, 1 and 2"),
    "wrong count": ("note", "num_keypoints that is not the number of labelled keypoints"),
    "area missing": ("warning", "an area that is missing or not above 0; OKS divides by it"),
    "area beyond its box": ("warning", "an area larger than its box by more than a tenth"),
    "left and right exchanged": ("warning", "a person whose mirrored labels fit the other persons much better"),
    "flip pair against the names": ("error", "flip pairs that do not exchange left and right"),
    "edge against the names": ("warning", "an edge that joins a left limb to a right one of another joint"),
    "sigmas against the names": ("warning", "left and right of one joint with different sigmas"),
    "sigma off the labels": (
        "note",
        "a sigma that, beside the others, is half or twice what persons labelled twice make it",
    ),
    "missing image": ("error", "an image file that is not there"),
    "unreadable image": ("error", "a file that is no image, or a damaged one"),
    "wrong size": ("error", "an image of another size than its record says"),
    "EXIF orientation": ("warning", "an image that is displayed turned"),
    "near duplicate": ("warning", "two images that look the same"),
    "leakage": ("error", "an image that the other set has too"),
}


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        kind: a key of `KINDS`.
        text: where and what.
        annotation_id: of the person, if it is about one.
        image_id: of the image, if it is about one.
    """

    kind: str
    text: str
    annotation_id: int | None = None
    image_id: int | None = None

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind][0]


def worst(findings: Iterable[Finding]) -> int:
    """The exit status: 2 with an error, 1 with a warning, else 0."""
    found = {each.severity for each in findings}
    return 2 if "error" in found else 1 if "warning" in found else 0
