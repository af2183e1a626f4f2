"""MPII persons from the JSON files of the official release.

One entry a person: image, center (x, y), scale (person height in units of 200 pixels), joints [16][2], joints_vis [16],
all with 1-based coordinates, as MPII's MATLAB files have them.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import MPII16
from keras_simplepose.data.coco import AREA_OF_BOX, ImageRecord, Person, PersonSet
from keras_simplepose.media.images import image_size
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import read_json

PIXELS_PER_SCALE = 200.0  # MPII: a scale of 1 is a person of 200 pixels.
CENTER_SHIFT = 15.0  # The release moves the centre down by this × scale, so that ankles are not cut off.
CATEGORY = 1


def load_mpii(annotations: str | Path, images: str | Path, labelled_only: bool = True) -> PersonSet:
    """Reads an MPII file of the official release, by the release's rules.

    The box is the square of 200 · scale pixels around the centre moved down by 15 · scale. `geometry.box_to_crop`
    widens it by 1.25, as the release does its scale. It is not clipped. MPII states no areas; they are estimated as
    0.53 of the box.

    Args:
        annotations: the JSON file.
        images: folder of the images, whose sizes the file does not state.
        labelled_only: leaves out persons without a labelled joint, counting them (test files have no joints at all).

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
    persons, left_out = [], Counter()
    for number, entry in enumerate(entries, start=1):
        where = f"{path}: person {number}"
        name, box, keypoints, visible = _read_entry(entry, where)
        if name not in records:
            records[name] = ImageRecord(len(records) + 1, name, *image_size(Path(images) / name))
        if labelled_only and not visible.any():
            left_out["no labelled keypoint"] += 1
            continue
        area = AREA_OF_BOX * box[2] * box[3]
        persons.append(Person(records[name].id, number, box, keypoints, visible, area))
    images_by_id = {record.id: record for record in records.values()}
    tables = _coco_tables(images_by_id, persons)
    return PersonSet(path, images_by_id, tuple(persons), CATEGORY, dict(left_out), tables=tables)


def _coco_tables(images: Mapping[int, ImageRecord], persons: Sequence[Person]) -> dict[str, list]:
    """What COCO's metrics read of annotations."""

    def triples(person: Person) -> list[float]:
        return np.column_stack([person.keypoints, person.visible]).ravel().tolist()

    return {
        "images": [{"id": identifier} for identifier in images],
        "annotations": [
            {
                "id": person.annotation_id,
                "image_id": person.image_id,
                "category_id": CATEGORY,
                "bbox": list(person.box),
                "area": person.area,
                "keypoints": triples(person),
            }
            for person in persons
        ],
    }


def _read_entry(entry: Any, where: str) -> tuple[str, tuple[float, float, float, float], np.ndarray, np.ndarray]:
    """Image name, box, keypoints [16, 2] and visibility [16] of one entry, 0-based."""
    count = len(MPII16.keypoints)
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        raise UserError(f"{where}: names no image")
    try:
        x, y = (float(value) for value in entry["center"])
        scale = float(entry["scale"])
        keypoints = np.array(entry.get("joints", np.zeros((count, 2))), np.float32)
        visible = np.array(entry.get("joints_vis", np.zeros(count)), np.float32)
    except KeyError as error:
        raise UserError(f"{where} lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: holds something that is no number") from error
    if keypoints.shape != (count, 2) or visible.shape != (count,):
        raise UserError(f"{where}: joints must be {count} pairs and joints_vis {count} numbers")
    if not (math.isfinite(x + y + scale) and scale > 0 and np.isfinite(keypoints).all() and (visible >= 0).all()):
        raise UserError(f"{where}: scale must be greater than 0 and all numbers finite")
    side = PIXELS_PER_SCALE * scale
    box = (x - 1 - side / 2, y + CENTER_SHIFT * scale - 1 - side / 2, side, side)
    return entry["image"], box, keypoints - 1, np.minimum(visible, 1)
