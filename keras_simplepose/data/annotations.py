"""Annotation files of whichever format."""

import codecs
from pathlib import Path

from keras_simplepose.core.skeletons import MPII16, Skeleton
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.mpii import load_mpii
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.utils.errors import UserError


def load_annotations(
    annotations: str | Path,
    images: str | Path,
    skeleton: Skeleton,
    *,
    trust_keypoint_order: bool = False,
    boxes_from_keypoints: bool = False,
) -> PersonSet:
    """Reads the labelled persons of COCO keypoint annotations, or of an MPII file of the official release.

    MPII's file is a list, COCO's a table; that tells them apart.

    Args:
        annotations: the JSON file.
        images: folder of the images; MPII's and PoseTrack's files do not state their sizes.
        skeleton: of the keypoints wanted.
        trust_keypoint_order: as `coco.load_persons`; MPII's joints have no names.
        boxes_from_keypoints: as `coco.load_persons`; MPII's persons always have a box.

    Raises:
        UserError: as `coco.load_persons` and `mpii.load_mpii`, or MPII's joints are not the skeleton's.
    """
    path = Path(annotations)
    if not _is_list(path):
        return load_persons(
            path,
            skeleton,
            images=images,
            trust_keypoint_order=trust_keypoint_order,
            boxes_from_keypoints=boxes_from_keypoints,
        )
    if len(skeleton.keypoints) != len(MPII16.keypoints):
        raise UserError(
            f"{path}: not COCO annotations, which are a table; and MPII's, which are a list, have the "
            f"{len(MPII16.keypoints)} joints of skeleton mpii16, not the {len(skeleton.keypoints)} of {skeleton.name}"
        )
    return load_mpii(path, images)


def _is_list(path: Path) -> bool:
    """Whether a JSON file begins with a list; what cannot be read is left to the reader that says so."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    except OSError:
        return False
