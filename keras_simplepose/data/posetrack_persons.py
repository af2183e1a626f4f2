"""The persons of PoseTrack's files of 2018 and 2021, to train and measure a network on."""

import itertools
import mmap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_simplepose.core.skeletons import SKELETONS, Skeleton
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.persons import Box, Ignored, ImageRecord, Person, PersonSet
from keras_simplepose.utils.errors import UserError

BOX_MARGIN = 0.15  # Paper: the ground truth's box is that of the joints, extended by so much of its size.
_FILES_SKELETON = SKELETONS["posetrack18"]
_SNIFFED = 65_536  # Bytes in which a file of tracks has shown that it is one.


def is_posetrack(path: Path) -> bool:
    """Whether a path is a folder of JSON files, or a JSON file of tracks with PoseTrack's keypoints."""
    if path.is_dir():
        return any(path.glob("*.json"))
    try:
        with path.open("rb") as file:
            start = file.read(_SNIFFED)
            if not any(name in start for name in (b'"vid_id"', b'"track_id"')):
                return False  # COCO's own files are large, and known by now.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return content.find(b'"head_bottom"') >= 0 and content.find(b'"head_top"') >= 0
    except (OSError, ValueError):
        return False


def load_posetrack(annotations: str | Path, images: str | Path, skeleton: Skeleton, **options: bool) -> PersonSet:
    """Reads the labelled persons of a PoseTrack file, or of all .json files of a folder.

    A person's box is that of its labelled joints, extended by 15 % [paper], whatever box the file states. Joints go by
    name. Images and annotations are numbered anew where several files use the same ids.

    Args:
        annotations: the file, or the folder.
        images: folder of the images, whose sizes official files do not state.
        skeleton: posetrack18, posetrack15, or any whose joints all are among theirs.
        **options: of `coco.load_persons`.

    Raises:
        UserError: a file is faulty, or the skeleton has joints that PoseTrack lacks.
    """
    names = _FILES_SKELETON.keypoints
    missing = [name for name in skeleton.keypoints if name not in names]
    if missing:
        raise UserError(
            f"{annotations}: PoseTrack has no {missing[0]}, which skeleton {skeleton.name} has; train for posetrack15 "
            "or posetrack18"
        )
    path, columns = Path(annotations), [names.index(name) for name in skeleton.keypoints]
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    # Boxes come from the joints in any case; one that a file lacks is no fault.
    options = options | {"boxes_from_keypoints": True}
    sets = [load_persons(file, _FILES_SKELETON, images=images, **options) for file in files]
    counts = Counter[str]()
    for one in sets:
        counts.update({note: count for note, count in one.notes.items() if not note.startswith("boxes taken")})
    left_out = sum((Counter(one.left_out) for one in sets), Counter[str]())
    if _share_ids(sets):
        sets = _numbered_anew(sets)
        counts["image ids numbered anew, as the files share some"] = sum(len(one.images) for one in sets)
    persons: list[Person] = []
    without: list[Person] = []
    for person in (person for one in sets for person in one.persons):
        changed = replace(
            person,
            keypoints=person.keypoints[columns],
            visible=person.visible[columns],
            box=_box(person.keypoints[person.visible > 0]),
        )
        (persons if changed.visible.any() and max(changed.box[2:]) > 0 else without).append(changed)
    ignored = [
        replace(other, keypoints=other.keypoints[columns], visible=other.visible[columns])
        for one in sets
        for other in one.ignored
    ]
    for other in without:
        left_out["no box, as it has one labelled joint"] += 1
        values = (other.image_id, other.annotation_id, other.box, other.keypoints, other.visible, other.area)
        ignored.append(Ignored(*values, crowd=False))
    images_by_id: dict[int, ImageRecord] = {}
    for one in sets:
        images_by_id |= one.images
    notes = {note: count for note, count in counts.items() if count}
    return replace(
        sets[0],
        path=path,
        images=images_by_id,
        persons=tuple(persons),
        left_out=dict(left_out),
        ignored=tuple(ignored),
        notes=notes,
        remarks=tuple(dict.fromkeys(remark for one in sets for remark in one.remarks)),
    )


def _box(points: np.ndarray) -> Box:
    low, high = points.min(0).astype(float), points.max(0).astype(float)
    size = (high - low) * (1 + BOX_MARGIN)
    x, y = (low + high - size) / 2
    return float(x), float(y), float(size[0]), float(size[1])


def _share_ids(sets: list[PersonSet]) -> bool:
    image_ids = [identifier for one in sets for identifier in one.images]
    annotation_ids = [person.annotation_id for one in sets for person in one.persons]
    annotation_ids += [other.annotation_id for one in sets for other in one.ignored]
    return len(set(image_ids)) < len(image_ids) or len(set(annotation_ids)) < len(annotation_ids)


def _numbered_anew(sets: list[PersonSet]) -> list[PersonSet]:
    """Images and annotations counted through all files, from 1."""
    changed, image_count, fresh = [], 0, itertools.count(1)
    for one in sets:
        numbers = {old: image_count + place for place, old in enumerate(one.images, start=1)}
        image_count += len(numbers)
        changed.append(
            replace(
                one,
                images={numbers[old]: replace(record, id=numbers[old]) for old, record in one.images.items()},
                persons=tuple(
                    replace(person, image_id=numbers[person.image_id], annotation_id=next(fresh))
                    for person in one.persons
                ),
                ignored=tuple(
                    replace(other, image_id=numbers[other.image_id], annotation_id=next(fresh)) for other in one.ignored
                ),
            )
        )
    return changed
