"""The two frames of a photograph: its pixels as stored, and as its EXIF orientation says it is displayed."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Frame = Literal["stored", "displayed"]
Orientation = Literal["stored", "displayed", "auto"]

_TRANSPOSED = range(5, 9)  # EXIF orientations that exchange height and width.


def displayed_size(size: tuple[int, int], exif: int) -> tuple[int, int]:
    """(height, width) of an image as displayed, from that of its stored pixels; or the other way round."""
    return (size[1], size[0]) if exif in _TRANSPOSED else size


def turn(image: np.ndarray, exif: int) -> np.ndarray:
    """Stored pixels [H, W, 3] as an EXIF orientation, 1 to 8, says they are displayed."""
    if exif in _TRANSPOSED:
        image = image.swapaxes(0, 1)
    if exif in (2, 3, 6, 7):
        image = image[:, ::-1]
    if exif in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def restore(image: np.ndarray, exif: int) -> np.ndarray:
    """Displayed pixels as they are stored: undoes `turn`."""
    return turn(image, {6: 8, 8: 6}.get(exif, exif))


def choose_frame(
    stored: tuple[int, int], exif: int, expected: tuple[int, int] | None, orientation: Orientation
) -> Frame:
    """The frame to read an image in.

    Args:
        stored: (height, width) of its stored pixels.
        exif: its EXIF orientation.
        expected: (height, width) that its record states, if there is one.
        orientation: what the user wants; auto is displayed only where the record's size says so.
    """
    if orientation != "auto":
        return orientation
    fits = expected is not None and tuple(expected) != stored and tuple(expected) == displayed_size(stored, exif)
    return "displayed" if fits else "stored"


class OrientationCount:
    """Which images carried an EXIF orientation, and how they were read.

    Several threads may add; an image that is read again counts once.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self._told: dict[Frame, set[str]] = {"stored": set(), "displayed": set()}
        self._open: set[str] = set()

    def __len__(self) -> int:
        """The number of images."""
        return sum(map(len, self._told.values()))

    def frame_of(self, name: str) -> Frame | None:
        """The frame an image was read in; None if it carries no EXIF orientation."""
        return next((frame for frame, names in self._told.items() if name in names), None)

    def add(self, name: str, exif: int, frame: Frame, has_record: bool, size: tuple[int, ...]) -> None:
        """Notes an image with an EXIF orientation other than 1.

        Args:
            name: of the image.
            exif: its orientation.
            frame: it was read in.
            has_record: whether it was read against a record's size.
            size: (height, width) it was read in.
        """
        self._told[frame].add(name)
        if has_record and (exif not in _TRANSPOSED or size[0] == size[1]):
            self._open.add(name)

    def merge(self, other: "OrientationCount") -> None:
        """Adds what another one, of a worker process, has seen."""
        for frame, names in other._told.items():
            self._told[frame] |= names
        self._open |= other._open

    def warning(self, orientation: Orientation) -> str:
        """One line that says how many there were and how they were read; "" if there were none.

        Args:
            orientation: the option they were read with.
        """
        if not len(self):
            return ""
        frames = " and ".join(f"{len(names)} as {frame}" for frame, names in self._told.items() if names)
        text = f"{len(self)} images carry an EXIF orientation: {frames} (orientation={orientation})"
        if orientation == "auto" and self._open:
            text += (
                f"; for {len(self._open)} their records' sizes fit both, and they were read as stored; "
                "if they were annotated as displayed, give orientation=displayed"
            )
        return text


@dataclass(frozen=True)
class ImageReading:
    """How the images of a data set are read, and what came of it.

    Attributes:
        orientation: the frame to read them in.
        orientations: counts those that carry an EXIF orientation.
    """

    orientation: Orientation = "auto"
    orientations: OrientationCount = field(default_factory=OrientationCount)

    def warning(self) -> str:
        """As `OrientationCount.warning`."""
        return self.orientations.warning(self.orientation)
