"""The built-in skeletons, and those of users' files.

To add one is to add an entry to `SKELETONS`: its keypoints in the annotations' order and its edges, by name. Pairs
follow from the names, sigmas from the joints unless the data set's own evaluation has others.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from keras_simplepose.core.skeleton import Skeleton, skeleton_from_dict
from keras_simplepose.utils.errors import UserError

# COCO's evaluation code, by joint.
_COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
# AI Challenger's own evaluation code, in the order of its keypoints; its left and right differ.
_AIC_SIGMAS = (
    (0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642)
    + (0.03686941, 0.01981803, 0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173)
)  # fmt: skip
_LOWER_BODY = {"hip", "knee", "ankle", "pelvis"}  # To half-body augmentation; the rest is upper.

_COCO_KEYPOINTS = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
_LEGS = "left_ankle-left_knee left_knee-left_hip right_ankle-right_knee right_knee-right_hip"
_TRUNK = "left_hip-right_hip left_shoulder-left_hip right_shoulder-right_hip"
_ARMS = "left_shoulder-left_elbow left_elbow-left_wrist right_shoulder-right_elbow right_elbow-right_wrist"
_COCO_EDGES = (
    f"{_LEGS} {_TRUNK} left_shoulder-right_shoulder left_shoulder-left_elbow left_elbow-left_wrist "
    "right_shoulder-right_elbow right_elbow-right_wrist nose-left_eye nose-right_eye left_eye-left_ear "
    "right_eye-right_ear left_ear-left_shoulder right_ear-right_shoulder"
)


def _joint(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


def _mirrored(name: str) -> str:
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


def _built_in(
    name: str, keypoints: str, edges: str, sigmas: Mapping[str, float] | tuple[float, ...] | None = None
) -> Skeleton:
    """A skeleton from its keypoints' names and the pairs of them to connect.

    `sigmas` are those of the joints that COCO lacks, or all of them in order.
    """
    names = tuple(keypoints.split())
    pairs = [(place, names.index(_mirrored(each))) for place, each in enumerate(names)]
    if not isinstance(sigmas, tuple):
        by_joint = _COCO_SIGMAS | dict(sigmas or {})
        sigmas = tuple(by_joint[_joint(each)] for each in names)
    return Skeleton(
        name,
        names,
        tuple(pair for pair in pairs if pair[0] < pair[1]),
        tuple(tuple(names.index(end) for end in edge.split("-")) for edge in edges.split()),
        sigmas,
        tuple(place for place, each in enumerate(names) if _joint(each) not in _LOWER_BODY),
    )


SKELETONS = {
    skeleton.name: skeleton
    for skeleton in (
        # COCO keypoint task.
        _built_in("coco17", _COCO_KEYPOINTS, _COCO_EDGES),
        # MPII Human Pose publishes no OKS sigmas: pelvis as a hip, thorax and neck as a shoulder, head top as an ear.
        _built_in(
            "mpii16",
            "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck head_top "
            "right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist",
            "right_ankle-right_knee right_knee-right_hip right_hip-pelvis left_hip-pelvis left_hip-left_knee "
            "left_knee-left_ankle pelvis-thorax thorax-upper_neck upper_neck-head_top thorax-right_shoulder "
            "right_shoulder-right_elbow right_elbow-right_wrist thorax-left_shoulder left_shoulder-left_elbow "
            "left_elbow-left_wrist",
            {"pelvis": 0.107, "thorax": 0.079, "upper_neck": 0.079, "head_top": 0.035},
        ),
        # PoseTrack 2017 publishes none either: head bottom (the neck) as a shoulder, head top as an ear.
        _built_in(
            "posetrack15",
            "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
            "left_shoulder left_elbow left_wrist head_bottom nose head_top",
            "right_ankle-right_knee right_knee-right_hip left_hip-left_knee left_knee-left_ankle right_hip-left_hip "
            "right_hip-right_shoulder left_hip-left_shoulder right_wrist-right_elbow right_elbow-right_shoulder "
            "left_shoulder-left_elbow left_elbow-left_wrist right_shoulder-head_bottom left_shoulder-head_bottom "
            "head_bottom-nose nose-head_top",
            {"head_bottom": 0.079, "head_top": 0.035},
        ),
        # PoseTrack 2018: the head's ends have the places of COCO's eyes and, as in MMPose, their sigmas.
        _built_in(
            "posetrack18",
            _COCO_KEYPOINTS.replace("left_eye", "head_bottom").replace("right_eye", "head_top"),
            f"{_LEGS} {_TRUNK} {_ARMS} nose-head_bottom nose-head_top nose-left_ear nose-right_ear "
            "head_bottom-left_shoulder head_bottom-right_shoulder",
            {"head_bottom": 0.025, "head_top": 0.025},
        ),
        # J-HMDB, sigmas as MMPose has them: neck and head as an eye, belly as a hip.
        _built_in(
            "jhmdb15",
            "neck belly head right_shoulder left_shoulder right_hip left_hip right_elbow left_elbow right_knee "
            "left_knee right_wrist left_wrist right_ankle left_ankle",
            f"{_LEGS} {_ARMS} neck-head neck-belly neck-left_shoulder neck-right_shoulder belly-left_hip "
            "belly-right_hip",
            {"neck": 0.025, "belly": 0.107, "head": 0.025},
        ),
        # CrowdPose, sigmas of its evaluation code (crowdposetools): head and neck as a shoulder.
        _built_in(
            "crowdpose14",
            "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee "
            "right_knee left_ankle right_ankle head neck",
            f"{_LEGS} {_TRUNK} {_ARMS} head-neck neck-left_shoulder neck-right_shoulder",
            {"head": 0.079, "neck": 0.079},
        ),
        # AI Challenger 2017.
        _built_in(
            "aic14",
            "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
            "right_ankle left_hip left_knee left_ankle head_top neck",
            f"{_LEGS} {_TRUNK} {_ARMS} head_top-neck neck-left_shoulder neck-right_shoulder",
            _AIC_SIGMAS,
        ),
        # OCHuman: COCO's keypoints and sigmas, in its files of COCO's format.
        _built_in("ochuman17", _COCO_KEYPOINTS, _COCO_EDGES),
    )
}
COCO17, MPII16, POSETRACK15 = (SKELETONS[name] for name in ("coco17", "mpii16", "posetrack15"))


def load_skeleton(name_or_path: str) -> Skeleton:
    """A built-in skeleton by name (a key of `SKELETONS`, such as coco17) or one from a .toml or .json file.

    Raises:
        UserError: no such skeleton or file, or a fault in the file, named.

    Example:
        >>> from keras_simplepose import load_skeleton
        >>> load_skeleton("coco17").keypoints[:3]
        ('nose', 'left_eye', 'right_eye')
    """
    if name_or_path in SKELETONS:
        return SKELETONS[name_or_path]
    path = Path(name_or_path)
    if path.suffix not in (".toml", ".json"):
        known = ", ".join(SKELETONS)
        raise UserError(f"no skeleton {name_or_path[:60]!r}; there are {known}, or give a .toml or .json file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise UserError(f"{path}: is nested too deeply to be a skeleton") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid {path.suffix[1:].upper()}: {error}") from error
    return skeleton_from_dict(values, str(path))
