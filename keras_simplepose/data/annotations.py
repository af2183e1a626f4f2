"""Annotation files of whichever format. A new one is a module that gives a `PersonSet`, and a line in `READERS`."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_simplepose.config import EvaluationDataConfig, PrepareConfig
from keras_simplepose.core.skeletons import MPII16, Skeleton
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.mpii import load_mpii
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.data.posetrack_persons import is_posetrack, load_posetrack
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import refuse_pipe


def load_annotations(
    annotations: str | Path,
    images: str | Path,
    skeleton: Skeleton,
    *,
    trust_keypoint_order: bool = False,
    boxes_from_keypoints: bool = False,
    follow_paths: bool = False,
) -> PersonSet:
    """Reads the labelled persons of COCO keypoint annotations, or of another format in `READERS`.

    Args:
        annotations: the JSON file; a folder of PoseTrack's.
        images: folder of the images; MPII's and PoseTrack's files do not state their sizes.
        skeleton: of the keypoints wanted.
        trust_keypoint_order: as `coco.load_persons`; MPII's joints have no names.
        boxes_from_keypoints: as `coco.load_persons`; MPII's persons always have a box, and PoseTrack's are always
            from them.
        follow_paths: take names of images that lead out of their folder.

    Raises:
        UserError: as `coco.load_persons`, `mpii.load_mpii` and `posetrack_persons.load_posetrack`; MPII's joints are
            not the skeleton's; or a name leads out of the folder of images.
    """
    path = Path(annotations)
    refuse_pipe(path)
    options = {
        "trust_keypoint_order": trust_keypoint_order,
        "boxes_from_keypoints": boxes_from_keypoints,
        "follow_paths": follow_paths,
    }
    reader = next(reader for reader in READERS.values() if reader.recognises(path))
    return reader.load(path, images, skeleton, options)


def load_configured(config: EvaluationDataConfig | PrepareConfig, skeleton: Skeleton) -> PersonSet:
    """The annotations that a configuration names, read as its options say; errors as `load_annotations`."""
    return load_annotations(
        config.annotations,
        config.images,
        skeleton,
        trust_keypoint_order=config.trust_keypoint_order,
        boxes_from_keypoints=config.boxes_from_keypoints,
        follow_paths=config.follow_paths,
    )


def _load_coco(path: Path, images: str | Path, skeleton: Skeleton, options: dict[str, bool]) -> PersonSet:
    return load_persons(path, skeleton, images=images, **options)


def _load_mpii(path: Path, images: str | Path, skeleton: Skeleton, options: dict[str, bool]) -> PersonSet:
    if len(skeleton.keypoints) != len(MPII16.keypoints):
        raise UserError(
            f"{path}: not COCO annotations, which are a table; and MPII's, which are a list, have the "
            f"{len(MPII16.keypoints)} joints of skeleton mpii16, not the {len(skeleton.keypoints)} of {skeleton.name}"
        )
    return load_mpii(path, images, follow_paths=options["follow_paths"])


def _load_posetrack(path: Path, images: str | Path, skeleton: Skeleton, options: dict[str, bool]) -> PersonSet:
    return load_posetrack(path, images, skeleton, **options)


def _is_list(path: Path) -> bool:
    """Whether a JSON file begins with a list; what cannot be read is left to the reader that says so."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
    except OSError:
        return False


@dataclass(frozen=True)
class Reader:
    """One format of annotations.

    Attributes:
        recognises: whether a file is one of this format; must not fail, whatever is there.
        load: the persons of (file, folder of images, skeleton, keyword options of `load_annotations`).
        description: how it is told from the others.
    """

    recognises: Callable[[Path], bool]
    load: Callable[[Path, str | Path, Skeleton, dict[str, bool]], PersonSet]
    description: str


# The first that recognises a file reads it; COCO's takes all that is left, and says what is wrong with it.
READERS: dict[str, Reader] = {
    "mpii": Reader(_is_list, _load_mpii, "MPII's file of the official release, a list"),
    "posetrack": Reader(
        is_posetrack, _load_posetrack, "PoseTrack's, a table of tracks with its joints, or a folder of such"
    ),
    "coco": Reader(lambda path: True, _load_coco, "COCO's, a table"),
}
