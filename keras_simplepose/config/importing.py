"""Import of what annotation tools export."""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.evaluation import TRUST_KEYPOINT_ORDER
from keras_simplepose.config.options import option


@dataclass(frozen=True)
class ImportConfig:
    """What to import, and where to."""

    input: str = option(
        "",
        "the export: a folder, a YOLO data.yaml, CVAT's annotations.xml, Label Studio's or a COCO JSON",
        required=True,
    )
    output: str = option("", "folder for a COCO JSON of each split, skeleton.toml and import.json", required=True)
    format: Literal["auto", "coco", "cvat", "label_studio", "yolo"] = option(
        "auto", "what wrote it: coco is Roboflow's and CVAT's COCO; auto: told by the files"
    )
    images: str = option(
        "", "folder of the images, where they do not lie in the export; names are looked up in it and below"
    )
    category: str = option("", "the class to take, where there are several; default: the only one, or person")
    image_key: str = option("", "of Label Studio's data, where a task has several values; default: image")


@dataclass(frozen=True)
class ImportedSkeletonConfig:
    """The keypoints."""

    keypoints: tuple[str, ...] = option(
        (),
        "their names, in the order to write; of an export without names, in its order; default: as it has them",
        distinct=True,
        only_with={"skeleton": False},
    )
    skeleton: str = option(
        "", "a skeleton to take instead of writing one, a name or a file; keypoints are matched by their names"
    )
    skeleton_name: str = option(
        "", "of the skeleton that is written; default: the category's", only_with={"skeleton": False}
    )
    trust_keypoint_order: bool = option(False, TRUST_KEYPOINT_ORDER, only_with={"skeleton": True})
