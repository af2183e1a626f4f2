"""A sheet of images with the poses found in them."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from keras_simplepose.core.poses import Poses
from keras_simplepose.utils.files import atomic_path
from keras_simplepose.viz.drawing import draw_poses

COLUMNS = 3
TILE = (240, 320)  # (height, width) of a picture on the sheet, in pixels.


def write_sheet(pictures: Iterable[tuple[np.ndarray, Poses]], path: str | Path) -> None:
    """Draws the poses of some images and writes them as one picture.

    Args:
        pictures: at least one image [H, W, 3] uint8 RGB of any size, with the poses in its pixels.
        path: of the picture; its suffix says the format.

    Raises:
        UserError: the picture cannot be written.
    """
    tiles = [_fit(draw_poses(image, poses)) for image, poses in pictures]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), np.vstack(rows)[..., ::-1])


def _fit(image: np.ndarray) -> np.ndarray:
    """Scales an image into a tile, black around it."""
    height, width = TILE
    scale = min(height / image.shape[0], width / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:height, :width]
    tile = np.zeros((height, width, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile
