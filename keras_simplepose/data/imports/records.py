"""What an export of an annotation tool holds, whichever tool it is."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.data.persons import Box
from keras_simplepose.utils.errors import UserError, shown

PERSON = "person"  # The category taken of several, if it is among them.


class Tally:
    """How often something was done or left out, by kind, with the first example of each."""

    def __init__(self) -> None:
        """Starts empty."""
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, kind: str, example: str, number: int = 1) -> None:
        """Counts; nothing for a number of 0."""
        if number:
            self.counts[kind] += number
            self.examples.setdefault(kind, example)


@dataclass(frozen=True)
class ImportedImage:
    """An image.

    Attributes:
        file_name: its path below the split's folder of images.
        size: (height, width) in pixels, in the frame of the keypoints.
        id: the export's number; None: it has none that others refer to.
    """

    file_name: str
    size: tuple[int, int]
    id: int | None = None


@dataclass(frozen=True, eq=False)
class ImportedPerson:
    """An annotated person.

    Attributes:
        image: its image's place in the split.
        keypoints: [K, 3] float64 (x, y, visibility 0, 1 or 2) in pixels, in the order of the export's names.
        where: what messages call it.
        box: (x, y, width, height) in pixels; None: the format has none.
        area: in square pixels; 0: not known.
        crowd: whether it is a crowd.
        segmentation: COCO's, if there is one.
    """

    image: int
    keypoints: np.ndarray
    where: str
    box: Box | None = None
    area: float = 0.0
    crowd: bool = False
    segmentation: Any = None


@dataclass
class Split:
    """One part of a data set, which becomes a file.

    Attributes:
        name: such as train.
        folder: of its images; None: not known.
        images: in the export's order.
        persons: in the export's order.
        left_out: what was not taken.
        notes: what was taken otherwise than it stands there.
    """

    name: str
    folder: Path | None
    images: list[ImportedImage] = field(default_factory=list)
    persons: list[ImportedPerson] = field(default_factory=list)
    left_out: Tally = field(default_factory=Tally)
    notes: Tally = field(default_factory=Tally)


@dataclass
class Export:
    """All of an export.

    Attributes:
        tool: what wrote it, in words.
        category: of the persons.
        names: of the K keypoints.
        named: False where the names are only numbers, the export having none.
        splits: its parts.
        flip_pairs: index pairs that a mirror image swaps; None: only the names can tell.
        edges: index pairs to draw; none: only the names can tell.
        turned: image files with an EXIF orientation, where sizes and keypoints are those of the displayed image.
    """

    tool: str
    category: str
    names: tuple[str, ...]
    named: bool
    splits: list[Split]
    flip_pairs: tuple[tuple[int, int], ...] | None = None
    edges: tuple[tuple[int, int], ...] = ()
    turned: int = 0


def numbered(count: int) -> tuple[str, ...]:
    """Names for keypoints that have none."""
    return tuple(f"keypoint_{place}" for place in range(1, count + 1))


def choose_category(names: Iterable[str], wanted: str, where: str) -> str:
    """The category to take: the wanted one, the only one, or person.

    Raises:
        UserError: there is none, or several of which none is called person.
    """
    known = list(dict.fromkeys(names))
    listed = ", ".join(shown(name) for name in known[:5]) + (" …" if len(known) > 5 else "")
    if wanted:
        if wanted not in known:
            raise UserError(f"{where}: no class {shown(wanted)} with keypoints; there is {listed or 'none at all'}")
        return wanted
    if not known:
        raise UserError(f"{where}: holds no class with keypoints, so there is nothing to import")
    persons = [name for name in known if name.casefold() == PERSON]
    if len(known) > 1 and len(persons) != 1:
        raise UserError(f"{where}: several classes have keypoints: {listed}; give category, the one to take")
    return persons[0] if len(known) > 1 else known[0]


def positions(names: tuple[str, ...], found: Iterable[tuple[str, float, float, int]]) -> np.ndarray:
    """Keypoints [K, 3] float64 in the order of `names`, from (name, x, y, visibility); others are (0, 0, 0)."""
    table = np.zeros((len(names), 3))
    for name, *values in found:
        table[names.index(name)] = values
    return table
