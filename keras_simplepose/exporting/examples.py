"""Photographs with boxes to calibrate and to prove artefacts on: given, prepared, or drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.core.warp import warp_rounded
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.pipeline import PreparedSource
from keras_simplepose.data.prepared_set import MANIFEST, read_manifest
from keras_simplepose.data.synthetic.scenes import render_scene
from keras_simplepose.media.images import read_image
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.media.source import list_pictures
from keras_simplepose.prediction.graph import crop_persons
from keras_simplepose.training.sources import damage_named
from keras_simplepose.utils.errors import UserError

_SEED = 20180908  # Of the drawn scenes: a set of its own, that no training run draws.


@dataclass(frozen=True)
class Photograph:
    """An image [H, W, 3] uint8 RGB and boxes [N, 4] float32 in its pixels, N ≥ 1."""

    image: np.ndarray
    boxes: np.ndarray


def drawn_photographs(count: int) -> list[Photograph]:
    """Drawn scenes with at least `count` boxes between them."""
    photographs: list[Photograph] = []
    index = 0
    while sum(len(photograph.boxes) for photograph in photographs) < count:
        image, annotations = render_scene(_SEED, index)
        index += 1
        if annotations:
            boxes = np.array([annotation["bbox"] for annotation in annotations], np.float32)
            photographs.append(Photograph(image, boxes))
    return photographs


def read_photographs(
    folder: str, annotations: str, spec: PoseSpec, count: int, reading: ImageReading
) -> list[Photograph]:
    """Images with at least `count` boxes between them, if there are so many.

    Args:
        folder: of images.
        annotations: COCO JSON with their boxes; "": the first images by name, each its own box.
        spec: chooses the category.
        count: of boxes.
        reading: the frame to read them in; counts those with an EXIF orientation.

    Raises:
        UserError: there is none, or one cannot be read.
    """
    root = Path(folder)
    if annotations:
        persons = load_persons(annotations, spec.skeleton, images=root)
        boxes: dict[int, list] = {}
        for person in persons.persons[:count]:
            boxes.setdefault(person.image_id, []).append(person.box)
        named: list[tuple[Path, tuple[int, int] | None, list | None]] = [
            (root / record.file_name, (record.height, record.width), boxes[record.id])
            for record in (persons.images[key] for key in boxes)
        ]
    else:
        names = list_pictures(root)
        named = [(name, None, None) for name in names[:count]]
    if not named:
        raise UserError(f"{annotations or folder}: no images there to export with")
    photographs = []
    for name, size, each in named:
        image = read_image(name, size, reading.orientation, reading.orientations)
        whole = [[0, 0, image.shape[1], image.shape[0]]]
        photographs.append(Photograph(image, np.array(each or whole, np.float32)))
    return photographs


def crops_of(photographs: Sequence[Photograph], spec: PoseSpec) -> tuple[np.ndarray, np.ndarray]:
    """The crops [N, H, W, 3] float32 of all boxes, in order, and their matrices [N, 2, 3], image → crop."""
    cut = [
        crop_persons(each.image[None], each.boxes, spec, np.zeros(len(each.boxes), np.int32)) for each in photographs
    ]
    crops, matrices = (np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*cut, strict=True))
    return crops, matrices


def calibration_crops(folder: str, annotations: str, spec: PoseSpec, count: int, reading: ImageReading) -> np.ndarray:
    """Crops [N ≤ count, H, W, 3] float32 of a set written by `prepare` or of a folder of images.

    Raises:
        UserError: there are none, one cannot be read, or the prepared set is for another input size.
    """
    if not (Path(folder) / MANIFEST).is_file():
        return crops_of(read_photographs(folder, annotations, spec, count, reading), spec)[0][:count]
    manifest = read_manifest(folder)
    if manifest.settings.input_size != spec.input_size:
        raise UserError(f"{folder}: prepared for inputs of {manifest.settings.input_size}, not {spec.input_size}")
    source = PreparedSource(Path(folder), manifest)
    crops = []
    with damage_named(source):
        for patch in source.serial(0, 0).map(source.decode).take(count):
            matrix = spec.crop_matrix(patch["center"][None], patch["crop_width"][None])
            crops.append(np.asarray(warp_rounded(patch["image"][None], matrix, spec.input_size))[0])
    return np.stack(crops)
