"""Reports on results, comparisons of results, and the examination of a data set."""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.evaluation import BOXES_FROM_KEYPOINTS, ORIENTATION, TRUST_KEYPOINT_ORDER
from keras_simplepose.config.network import ModelConfig
from keras_simplepose.config.options import option, same

RESAMPLES = "resamples of the photographs for the 95 % confidence intervals; 0: none"
RESAMPLING_SEED = "of the resamples"
GIVEN_IMAGES = {"images": True}


@dataclass(frozen=True)
class ReportConfig:
    """What to report on, and how."""

    results: str = option("", "COCO keypoint results, such as evaluate's results.json", required=True)
    annotations: str = option("", "COCO keypoint JSON with the ground truth", required=True)
    images: str = option("", "folder of the images; without it nobody is drawn")
    output: str = option("", "folder for index.html and analysis.json", required=True)
    skeleton: str = option("coco17", "of the keypoints; a name or a file")
    resamples: int = option(1000, RESAMPLES, minimum=0)
    resampling_seed: int = option(0, RESAMPLING_SEED, minimum=0, maximum=2**32 - 1)
    cases: int = option(60, "persons drawn", minimum=5, only_with=GIVEN_IMAGES)
    photograph_side: int = option(
        640,
        "longer side in pixels of the whole photographs behind the persons; 0: none, a smaller page",
        minimum=0,
        only_with=GIVEN_IMAGES,
    )
    trust_keypoint_order: bool = option(False, TRUST_KEYPOINT_ORDER)
    boxes_from_keypoints: bool = option(False, BOXES_FROM_KEYPOINTS)
    orientation: Literal["auto", "stored", "displayed"] = option("auto", ORIENTATION, only_with=GIVEN_IMAGES)


@dataclass(frozen=True)
class CompareConfig:
    """What to compare."""

    runs: tuple[str, ...] = option(
        (), "metrics.json files or folders with one; written without the flag's name", required=True, positional=True
    )
    annotations: str = option("", "the ground truth of all; default: the file that the first names")
    images: str = option("", "folder of the images; default: the one that the first names, if it is there")
    output: str = option("", "folder for index.html and comparison.json; without it the text alone is printed")
    skeleton: str = option("", "of the keypoints, a name or a file; default: the one that the first names")
    resamples: int = option(1000, RESAMPLES, minimum=1)
    resampling_seed: int = option(0, RESAMPLING_SEED, minimum=0, maximum=2**32 - 1)
    cases: int = option(24, "persons drawn of two runs", minimum=1, only_with={"output": True})


@dataclass(frozen=True)
class CheckConfig:
    """What to examine."""

    annotations: str = option("", "COCO keypoint JSON", required=True)
    images: str = option("", "folder of the images; without it they are not looked at")
    output: str = option("", "folder for index.html, check.json and the mended copy; without it a summary is printed")
    skeleton: str = option("coco17", "of the keypoints; a name or a file")
    other_annotations: str = option(
        "", "COCO JSON of a set that must share no image with this one, such as val of train"
    )
    other_images: str = option(
        "",
        "its folder of images: shared ones are then told by their looks as well",
        only_with={"other_annotations": True},
    )
    fix: tuple[str, ...] = option(
        (),
        "write mended.json, a copy in which these are put right",
        choices=("areas", "duplicates", "visibility", "counts", "boxes"),
        distinct=True,
        only_with={"output": True},
    )
    input_size: tuple[int, int] = same(ModelConfig, "input_size", only_with=())
    cases: int = option(36, "persons drawn", minimum=1, only_with={"images": True})
    trust_keypoint_order: bool = option(False, TRUST_KEYPOINT_ORDER)
