"""Skeletons: keypoint names, left-right pairs, edges to draw, and OKS sigmas; the built-in ones, and users' files.

To add one is to add an entry to `SKELETONS`: its keypoints in the annotations' order and its edges, by name. Pairs
follow from the names, sigmas from the joints unless the data set's own evaluation has others.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.utils.errors import UserError, shown


@dataclass(frozen=True)
class Skeleton:
    """The keypoints of one kind of body.

    Attributes:
        name: identifier, such as "coco17".
        keypoints: K names, in the order of the annotations.
        flip_pairs: index pairs that a mirror image swaps.
        edges: index pairs to connect when drawing.
        sigmas: K OKS constants (COCO's per-keypoint standard deviation), each > 0.
        upper_body: indices that half-body augmentation calls upper; the others are lower.

    Example:
        >>> from keras_simplepose import Skeleton
        >>> hand = Skeleton("hand", ("wrist", "left_thumb", "right_thumb"), ((1, 2),), ((0, 1), (0, 2)), (0.05,) * 3)
        >>> hand.flip_order.tolist()
        [0, 2, 1]
    """

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    edges: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    upper_body: tuple[int, ...] = ()

    def __post_init__(self):
        """Checks the skeleton.

        Raises:
            UserError: naming the fault (a repeated name, a pair that is no involution, an edge to nowhere, sigma ≤ 0).
        """
        count = len(self.keypoints)
        where = f"skeleton {shown(self.name)}"
        if count == 0 or not all(isinstance(name, str) and name for name in self.keypoints):
            raise UserError(f"{where}: keypoints must be a non-empty list of names")
        repeated = {name for name in self.keypoints if self.keypoints.count(name) > 1}
        if repeated:
            raise UserError(f"{where}: keypoint names occur twice: {', '.join(sorted(repeated))[:100]}")
        for kind, pairs in (("flip pair", self.flip_pairs), ("edge", self.edges)):
            for pair in pairs:
                if len(pair) != 2 or not all(0 <= index < count for index in pair):
                    raise UserError(
                        f"{where}: {kind} {shown(tuple(pair))} names no keypoint; indices are 0 to {count - 1}"
                    )
                if pair[0] == pair[1]:
                    raise UserError(f"{where}: {kind} {shown(tuple(pair))} joins a keypoint to itself")
        flipped = [index for pair in self.flip_pairs for index in pair]
        twice = sorted({index for index in flipped if flipped.count(index) > 1})
        if twice:
            raise UserError(
                f"{where}: flip pairs are no involution: {twice[0]} ({self.keypoints[twice[0]][:60]}) is in two of them"
            )
        if len(self.sigmas) != count:
            raise UserError(f"{where}: {len(self.sigmas)} sigmas for {count} keypoints")
        for name, sigma in zip(self.keypoints, self.sigmas, strict=True):
            if not (math.isfinite(sigma) and sigma > 0):
                raise UserError(f"{where}: sigma of {name[:60]} is {sigma}; it must be greater than 0")
        if any(not 0 <= index < count for index in self.upper_body):
            raise UserError(f"{where}: upper_body names no keypoint; indices are 0 to {count - 1}")

    @property
    def flip_order(self) -> np.ndarray:
        """[K] int32: `keypoints[flip_order]` are the mirrored person's keypoints; twice applied it is the identity."""
        order = np.arange(len(self.keypoints), dtype=np.int32)
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return order

    def to_dict(self) -> dict[str, Any]:
        """The skeleton as JSON-serialisable values; `skeleton_from_dict` reads it back."""
        return json.loads(json.dumps(asdict(self)))


def _indices(entries: Any, names: Sequence[str], where: str) -> tuple[int, ...]:
    """Keypoint indices of a list that holds indices or names."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise UserError(f"{where}: {shown(entries)} is not a list of keypoints")
    indices = []
    for entry in entries:
        if isinstance(entry, str):
            if entry not in names:
                raise UserError(f"{where}: there is no keypoint {shown(entry)}")
            entry = names.index(entry)
        if not isinstance(entry, int) or isinstance(entry, bool):
            raise UserError(f"{where}: {shown(entry)} is neither a keypoint's name nor its index")
        indices.append(entry)
    return tuple(indices)


def _pairs(entries: Any, names: Sequence[str], where: str) -> tuple[tuple[int, int], ...]:
    """Index pairs of a list of pairs.

    Raises:
        UserError: one is no pair.
    """
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise UserError(f"{where}: {shown(entries)} is not a list of pairs")
    pairs = []
    for entry in entries:
        indices = _indices(entry, names, where)
        if len(indices) != 2:
            raise UserError(f"{where}: {shown(entry)} is not a pair of keypoints")
        pairs.append((indices[0], indices[1]))
    return tuple(pairs)


def skeleton_from_dict(values: Mapping[str, Any], where: str = "skeleton") -> Skeleton:
    """A skeleton from a mapping as in a TOML or JSON file; pairs and edges hold keypoint names or indices.

    Args:
        values: `name`, `keypoints`, `flip_pairs`, `edges`, `sigmas` and, if wanted, `upper_body`.
        where: what to name in an error (the file, usually).

    Raises:
        UserError: a key is missing, unknown or of the wrong type, or the skeleton is inconsistent.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: a skeleton is a table of name, keypoints, flip_pairs, edges and sigmas")
    required = {"name", "keypoints", "flip_pairs", "edges", "sigmas"}
    missing, unknown = required - values.keys(), values.keys() - required - {"upper_body"}
    if missing or unknown:
        fault = (
            f"lacks {', '.join(sorted(missing))}"
            if missing
            else f"has unknown {', '.join(sorted(map(str, unknown)))[:100]}"
        )
        raise UserError(f"{where}: the skeleton {fault}")
    names = values["keypoints"]
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise UserError(f"{where}: keypoints must be a list of names")
    pairs = {key: _pairs(values[key], names, f"{where}: {key}") for key in ("flip_pairs", "edges")}
    try:
        sigmas = tuple(float(sigma) for sigma in values["sigmas"])
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: sigmas must be a list of numbers") from error
    upper = _indices(values.get("upper_body", ()), names, f"{where}: upper_body")
    try:
        return Skeleton(str(values["name"]), tuple(names), pairs["flip_pairs"], pairs["edges"], sigmas, upper)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


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
        shown = name_or_path if len(name_or_path) < 60 else f"…{name_or_path[-60:]}"
        raise UserError(f"no skeleton {shown!r}; there are {known}, or give a .toml or .json file")
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
    ends = [edge.split("-") for edge in edges.split()]
    if not isinstance(sigmas, tuple):
        by_joint = _COCO_SIGMAS | dict(sigmas or {})
        sigmas = tuple(by_joint[_joint(each)] for each in names)
    return Skeleton(
        name,
        names,
        tuple(pair for pair in pairs if pair[0] < pair[1]),
        tuple((names.index(first), names.index(second)) for first, second in ends),
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
