"""MPII persons from the JSON files of the official release.

One entry a person: image, center (x, y), scale (person height in units of 200 pixels), joints [16][2], joints_vis [16],
all with 1-based coordinates, as MPII's MATLAB files have them.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import MPII16
from keras_simplepose.data.fields import file_name_of, get, number
from keras_simplepose.data.image_paths import ImagePaths
from keras_simplepose.data.persons import (
    PERSON_CATEGORY,
    Box,
    Ignored,
    ImageRecord,
    Person,
    PersonSet,
    area_of_box,
)
from keras_simplepose.media.images import image_size
from keras_simplepose.utils.errors import UserError, shown
from keras_simplepose.utils.files import read_json

PIXELS_PER_SCALE = 200.0  # MPII: a scale of 1 is a person of 200 pixels.
CENTER_SHIFT = 15.0  # The release moves the centre down by this × scale, so that ankles are not cut off.


def load_mpii(
    annotations: str | Path, images: str | Path, labelled_only: bool = True, follow_paths: bool = False
) -> PersonSet:
    """Reads an MPII file of the official release, by the release's rules.

    The box is the square of 200 · scale pixels around the centre moved down by 15 · scale. `geometry.box_to_crop`
    widens it by 1.25, as the release does its scale. It is not clipped. MPII states no areas; they are estimated
    from the boxes.

    Args:
        annotations: the JSON file.
        images: folder of the images, whose sizes the file does not state.
        labelled_only: leaves out persons without a labelled joint, counting them (test files have no joints at all).
        follow_paths: take names of images that lead out of their folder.

    Returns:
        The persons, for the skeleton mpii16; annotation ids are places in the file, from 1, image ids likewise by
        first occurrence.

    Raises:
        UserError: the file, an entry or an image is faulty; the message names it.
    """
    path = Path(annotations)
    entries = read_json(path)
    if not isinstance(entries, list):
        raise UserError(f"{path}: not MPII annotations, which are a list of image, center, scale, joints, joints_vis")
    records: dict[str, ImageRecord] = {}
    persons: list[Person] = []
    ignored: list[Ignored] = []
    left_out: Counter[str] = Counter()
    paths = ImagePaths(images, path, follow_paths)
    for place, entry in enumerate(entries, start=1):
        where = f"{path}: person {place}"
        name, box, keypoints, visible = _read_entry(entry, where)
        if name not in records:
            paths.check(name)
            records[name] = ImageRecord(len(records) + 1, name, *image_size(Path(images) / name))
        image_id = records[name].id
        if labelled_only and not visible.any():
            left_out["no labelled keypoint"] += 1
            ignored.append(Ignored(image_id, place, box, keypoints, visible, area_of_box(box), crowd=False))
        else:
            persons.append(Person(image_id, place, box, keypoints, visible, area_of_box(box)))
    images_by_id = {record.id: record for record in records.values()}
    return PersonSet(path, images_by_id, tuple(persons), PERSON_CATEGORY, dict(left_out), tuple(ignored))


def _read_entry(entry: Any, where: str) -> tuple[str, Box, np.ndarray, np.ndarray]:
    """Image name, box, keypoints [16, 2] and visibility [16] of one entry, 0-based."""
    count = len(MPII16.keypoints)
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        raise UserError(f"{where}: names no image")
    name = file_name_of(entry["image"], "image", where)
    x, y = _numbers(get(entry, "center", where), "center", 2, where)
    scale = number(get(entry, "scale", where), "scale", where)
    if scale <= 0:
        raise UserError(f"{where}: scale is {scale:g}; it must be greater than 0")
    joints = entry.get("joints", [[0, 0]] * count)
    if not isinstance(joints, list) or len(joints) != count:
        raise UserError(f"{where}: joints must be {count} pairs and joints_vis {count} numbers")
    keypoints = np.array([_numbers(pair, "joints", 2, where) for pair in joints], np.float32)
    visible = np.array(_numbers(entry.get("joints_vis", [0] * count), "joints_vis", count, where))
    if (visible < 0).any():
        raise UserError(f"{where}: joints_vis holds a negative number")
    side = PIXELS_PER_SCALE * scale
    box = (x - 1 - side / 2, y + CENTER_SHIFT * scale - 1 - side / 2, side, side)
    # Its numbers say only whether a joint is labelled.
    return name, box, keypoints - 1, (visible > 0).astype(np.float32)


def _numbers(values: Any, name: str, count: int, where: str) -> list[float]:
    if not isinstance(values, list) or len(values) != count:
        raise UserError(f"{where}: {name} holds {shown(values)}; it must be {count} numbers")
    return [number(value, name, where) for value in values]
