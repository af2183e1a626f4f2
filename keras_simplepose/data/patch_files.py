"""Cutting all patches of one image: the work of `prepare`'s processes, which never load TensorFlow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_simplepose.data.patches import Patch, PatchSettings, make_patch
from keras_simplepose.data.persons import ImageRecord, Person
from keras_simplepose.media.images import encode_jpeg, read_image
from keras_simplepose.media.orientation import Orientation, OrientationCount
from keras_simplepose.utils.errors import UserError


@dataclass(frozen=True, eq=False)
class EncodedPatch:
    """A patch on its way to a file.

    Attributes:
        jpeg: its pixels, coded.
        patch: all the rest; its own image is empty.
        person: whom it shows.
    """

    jpeg: bytes
    patch: Patch
    person: Person


@dataclass(frozen=True)
class CutTask:
    """One image and the persons to cut out of it.

    Attributes:
        image: its record.
        path: its file.
        persons: in its pixels.
        settings: of the patches.
        jpeg_quality: 1 to 100.
        orientation: the frame to read it in.
    """

    image: ImageRecord
    path: str
    persons: Sequence[Person]
    settings: PatchSettings
    jpeg_quality: int
    orientation: Orientation = "auto"


@dataclass(frozen=True)
class CutResult:
    """What became of a task: its patches, or the fault of its image; and whether that carries an EXIF orientation."""

    task: CutTask
    patches: tuple[EncodedPatch, ...] = ()
    fault: str = ""
    orientations: OrientationCount | None = None


def encode_patch(patch: Patch, person: Person, jpeg_quality: int) -> EncodedPatch:
    """Codes a patch's pixels as JPEG."""
    empty = np.zeros((0, 0, 3), np.uint8)
    return EncodedPatch(encode_jpeg(patch.image, jpeg_quality), replace(patch, image=empty), person)


def cut_image(task: CutTask) -> CutResult:
    """Reads an image once and cuts every person out of it; an unreadable image is a fault, not an exception."""
    orientations = OrientationCount()
    try:
        image = read_image(task.path, (task.image.height, task.image.width), task.orientation, orientations)
    except UserError as error:
        return CutResult(task, fault=str(error))
    patches = (
        encode_patch(make_patch(image, person, task.settings), person, task.jpeg_quality) for person in task.persons
    )
    return CutResult(task, tuple(patches), orientations=orientations)
