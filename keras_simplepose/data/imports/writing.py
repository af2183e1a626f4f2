"""Imported persons as COCO keypoint files."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.coco_entries import box_of_keypoints
from keras_simplepose.data.imports.records import ImportedPerson, Split
from keras_simplepose.data.persons import PERSON_CATEGORY, Box, area_of_box

DECIMALS = 4  # Of pixels: finer than any of the formats over a photograph.


def coco_tables(split: Split, order: Sequence[int], skeleton: Skeleton, category: str) -> dict[str, Any]:
    """A split as the tables of a COCO keypoint file.

    Unlabelled keypoints become (0, 0, 0). A person without a box gets one from its labelled keypoints, and one without
    either is left out; an area that is not known is estimated from the box.

    Args:
        split: its persons' keypoints in the export's order; counts what was changed or left out.
        order: places of the skeleton's keypoints among the export's.
        skeleton: names the keypoints.
        category: of the persons.
    """
    ids = [image.id if image.id is not None else place for place, image in enumerate(split.images, start=1)]
    images = [
        {"id": number, "file_name": image.file_name, "height": image.size[0], "width": image.size[1]}
        for number, image in zip(ids, split.images, strict=True)
    ]
    annotations: list[dict[str, Any]] = []
    for person in split.persons:
        keypoints = _cleaned(person, split)[list(order)]
        labelled = keypoints[keypoints[:, 2] > 0, :2]
        box = _box(person, labelled, split)
        if box is None:
            continue
        area = person.area
        if area <= 0:
            area = area_of_box(box)
            split.notes.add("areas estimated from boxes", person.where)
        split.notes.add("persons without a labelled keypoint", person.where, not len(labelled) and not person.crowd)
        entry = {
            "id": len(annotations) + 1,
            "image_id": ids[person.image],
            "category_id": PERSON_CATEGORY,
            "bbox": [_rounded(value) for value in box],
            "area": _rounded(area),
            "iscrowd": int(person.crowd),
            "num_keypoints": len(labelled),
            "keypoints": [value for x, y, v in keypoints.tolist() for value in (_rounded(x), _rounded(y), int(v))],
        }
        annotations.append(entry | ({} if person.segmentation is None else {"segmentation": person.segmentation}))
    described = {
        "id": PERSON_CATEGORY,
        "name": category,
        "supercategory": category,
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[one + 1, other + 1] for one, other in skeleton.edges],
    }
    return {"images": images, "annotations": annotations, "categories": [described]}


def _cleaned(person: ImportedPerson, split: Split) -> np.ndarray:
    """Keypoints [K, 3] whose unlabelled ones are (0, 0, 0)."""
    keypoints = person.keypoints.copy()
    at_origin = (keypoints[:, 2] > 0) & (keypoints[:, :2] == 0).all(1)
    split.notes.add("keypoints labelled at (0, 0), taken as not labelled", person.where, int(at_origin.sum()))
    keypoints[at_origin | (keypoints[:, 2] == 0)] = 0
    return keypoints


def _box(person: ImportedPerson, labelled: np.ndarray, split: Split) -> Box | None:
    if person.box is not None and max(person.box[2:]) > 0:
        return person.box
    if len(labelled) and np.ptp(labelled, axis=0).any():
        x, y, width, height = box_of_keypoints(labelled)
        size = split.images[person.image].size
        right, bottom = min(x + width, max(size[1], x)), min(y + height, max(size[0], y))
        left, top = max(x, min(0.0, right)), max(y, min(0.0, bottom))
        split.notes.add("boxes taken from keypoints", person.where)
        return left, top, right - left, bottom - top
    reason = "one labelled keypoint and no box" if len(labelled) else "neither a labelled keypoint nor a box"
    split.left_out.add(f"persons with {reason}", person.where)
    return None


def _rounded(value: float) -> float | int:
    number = round(value, DECIMALS)
    return int(number) if number == int(number) else number
