"""The persons' boxes of one image, with their scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_simplepose.utils.errors import UserError

LARGEST = 1e7  # Pixels: more than any image has, and float32 still tells them apart.
SMALLEST = 1e-3  # Pixels of a box's longer side: less is nobody, and far less overflows the crop's affine.


@dataclass(frozen=True, eq=False)
class PersonBoxes:
    """Where the persons of one image are.

    Attributes:
        boxes: [N, 4] float32 (x, y, width, height) in image pixels; they may reach outside the image.
        scores: [N] float32, a detector's confidence in [0, 1], or 1 for a box known to be right.
    """

    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        """The number of persons."""
        return len(self.boxes)

    @classmethod
    def of(cls, boxes: Any, scores: Any = None) -> "PersonBoxes":
        """Checks what a caller gives.

        Args:
            boxes: [N, 4] (x, y, width, height), an array or nested lists; an empty list is nobody.
            scores: [N]; None means 1 each.

        Raises:
            UserError: a wrong shape or type, values that are not finite or beyond any image, a negative size, or a box
                without extent.
        """
        table = _numbers(boxes, "boxes")
        if not table.size and table.ndim <= 2:
            table = table.reshape(0, 4)
        if table.ndim != 2 or table.shape[1] != 4:
            raise UserError(f"boxes of shape {list(table.shape)}; they must be [N, 4]: x, y, width, height")
        # A box without width still has a crop, by its height; annotations clipped at the image's edge have such boxes.
        sizes = table[:, 2:]
        fits = (np.abs(table) <= LARGEST).all(1)  # NaN and infinity do not.
        wrong = np.flatnonzero(~fits | (sizes < 0).any(1) | (sizes < SMALLEST).all(1))
        if len(wrong):
            box = table[wrong[0]].tolist()
            raise UserError(
                f"box {wrong[0]} is {box}; its numbers must be finite, none beyond {LARGEST:g}, "
                f"width and height ≥ 0, and one of them ≥ {SMALLEST:g}"
            )
        if scores is None:
            return cls(table, np.ones(len(table), np.float32))
        confidence = _numbers(scores, "scores")
        if confidence.shape != (len(table),):
            raise UserError(f"{len(table)} boxes but scores of shape {list(confidence.shape)}; there must be one each")
        if not np.isfinite(confidence).all():
            raise UserError(f"score {np.flatnonzero(~np.isfinite(confidence))[0]} is not finite")
        return cls(table, confidence)

    @classmethod
    def whole(cls, image: np.ndarray) -> "PersonBoxes":
        """One box, score 1: all of an image [H, W, 3]."""
        height, width = image.shape[:2]
        return cls(np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32))

    @classmethod
    def gathered(cls, entries: Sequence[tuple[Sequence[float], float]]) -> "PersonBoxes":
        """Of (box, score) pairs that a reader has checked, in their order."""
        boxes = np.array([box for box, _ in entries], np.float32).reshape(-1, 4)
        return cls(boxes, np.array([score for _, score in entries], np.float32))


NOBODY = PersonBoxes.gathered(())


def _numbers(values: Any, name: str) -> np.ndarray:
    """Values as a float32 array.

    Raises:
        UserError: they are ragged, or no numbers.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in "biuf" or not array.size:
            # Values beyond float32 become infinite, which is refused as such.
            with np.errstate(over="ignore"):
                return array.astype(np.float32)
    except (TypeError, ValueError):  # NumPy refuses ragged lists.
        pass
    raise UserError(f"{name}: {str(values)[:100]!r}; they must be numbers, as many for each")
