"""Letterboxing one image file: the work of processes that never load TensorFlow."""

from dataclasses import dataclass, field

import numpy as np

from keras_simplepose.media.images import read_image
from keras_simplepose.media.letterbox import letterbox
from keras_simplepose.media.orientation import Orientation, OrientationCount
from keras_simplepose.utils.errors import UserError


@dataclass(frozen=True)
class LetterboxTask:
    """An image to be fitted into a canvas.

    Attributes:
        path: of the file.
        stated_size: (height, width) its record states.
        size: (height, width) of the canvas.
        orientation: the frame to read it in.
    """

    path: str
    stated_size: tuple[int, int]
    size: tuple[int, int]
    orientation: Orientation


@dataclass(frozen=True, eq=False)
class Letterboxed:
    """What came of it.

    Attributes:
        canvas: [H, W, 3] uint8 RGB; None if the image cannot be read.
        fault: why it cannot; "" if it can.
        orientations: counts it if it carries an EXIF orientation.
    """

    canvas: np.ndarray | None
    fault: str = ""
    orientations: OrientationCount = field(default_factory=OrientationCount)


def letterbox_file(task: LetterboxTask) -> Letterboxed:
    """Reads and fits one image; a fault is returned, for the caller to decide about."""
    count = OrientationCount()
    try:
        image = read_image(task.path, task.stated_size, task.orientation, count)
    except UserError as error:
        return Letterboxed(None, str(error))
    return Letterboxed(letterbox(image, task.size)[0], orientations=count)
