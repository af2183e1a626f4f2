"""A sheet of validation images with the poses a model finds in them."""

from pathlib import Path

import cv2
import numpy as np

from keras_simplepose.core.files import atomic_path
from keras_simplepose.data.coco import Person, PersonSet
from keras_simplepose.data.images import read_image
from keras_simplepose.engine.predictor import PosePredictor
from keras_simplepose.viz.drawing import draw_poses

COLUMNS = 3
LEAST_SHARE = 0.4  # Of the image's height, for a person to be seen well.
TILE = (240, 320)  # (height, width) of a picture on the sheet, in pixels.


def draw_predictions(
    predictor: PosePredictor, persons: PersonSet, images: str | Path, path: str | Path, count: int = 6
) -> None:
    """Draws the poses found in the ground truth's boxes of some images and writes them as one picture.

    Of the images in the annotations' order, those come first that show somebody large enough to be seen on a tile.

    Args:
        predictor: of the model.
        persons: the annotations, whose boxes are used.
        images: folder of the images.
        path: of the picture; its suffix says the format.
        count: how many images.

    Raises:
        UserError: an image cannot be read, or the picture not be written.
    """
    tiles = []
    groups = sorted(persons.by_image().items(), key=lambda item: _tallest(persons, *item) < LEAST_SHARE)
    for image_id, group in groups[:count]:
        record = persons.images[image_id]
        image = read_image(Path(images) / record.file_name, (record.height, record.width))
        poses = predictor(image, [person.box for person in group])
        tiles.append(_fit(draw_poses(image, poses)))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), np.vstack(rows)[..., ::-1])


def _tallest(persons: PersonSet, image_id: int, group: list[Person]) -> float:
    """The tallest person's share of the image's height."""
    return max(person.box[3] for person in group) / persons.images[image_id].height


def _fit(image: np.ndarray) -> np.ndarray:
    """Scales an image into a tile, black around it."""
    height, width = TILE
    scale = min(height / image.shape[0], width / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:height, :width]
    tile = np.zeros((height, width, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile
