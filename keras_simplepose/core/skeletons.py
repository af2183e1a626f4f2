"""Skeletons: keypoint names, left-right pairs, edges to draw, and OKS sigmas.

Sources. coco17: COCO keypoint task and its evaluation code. mpii16: MPII Human Pose. posetrack15: PoseTrack 2017.
MPII and PoseTrack publish no OKS sigmas: body joints take COCO's, and the joints COCO lacks (pelvis, thorax, neck,
head) take the value of the nearest COCO joint of like extent, as noted beside each.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.utils.errors import UserError


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
        where = f"skeleton {self.name!r}"
        if count == 0 or not all(isinstance(name, str) and name for name in self.keypoints):
            raise UserError(f"{where}: keypoints must be a non-empty list of names")
        repeated = {name for name in self.keypoints if self.keypoints.count(name) > 1}
        if repeated:
            raise UserError(f"{where}: keypoint names occur twice: {', '.join(sorted(repeated))}")
        for kind, pairs in (("flip pair", self.flip_pairs), ("edge", self.edges)):
            for pair in pairs:
                if len(pair) != 2 or not all(0 <= index < count for index in pair):
                    raise UserError(f"{where}: {kind} {tuple(pair)} names no keypoint; indices are 0 to {count - 1}")
                if pair[0] == pair[1]:
                    raise UserError(f"{where}: {kind} {tuple(pair)} joins a keypoint to itself")
        flipped = [index for pair in self.flip_pairs for index in pair]
        twice = sorted({index for index in flipped if flipped.count(index) > 1})
        if twice:
            raise UserError(
                f"{where}: flip pairs are no involution: {twice[0]} ({self.keypoints[twice[0]]}) is in two of them"
            )
        if len(self.sigmas) != count:
            raise UserError(f"{where}: {len(self.sigmas)} sigmas for {count} keypoints")
        for name, sigma in zip(self.keypoints, self.sigmas, strict=True):
            if not (math.isfinite(sigma) and sigma > 0):
                raise UserError(f"{where}: sigma of {name} is {sigma}; it must be greater than 0")
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
        raise UserError(f"{where}: {entries!r} is not a list of keypoints")
    indices = []
    for entry in entries:
        if isinstance(entry, str):
            if entry not in names:
                raise UserError(f"{where}: there is no keypoint {entry!r}")
            entry = names.index(entry)
        if not isinstance(entry, int) or isinstance(entry, bool):
            raise UserError(f"{where}: {entry!r} is neither a keypoint's name nor its index")
        indices.append(entry)
    return tuple(indices)


def _pairs(entries: Any, names: Sequence[str], where: str) -> tuple[tuple[int, ...], ...]:
    """Index pairs of a list of pairs; their length is checked by the skeleton itself."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise UserError(f"{where}: {entries!r} is not a list of pairs")
    return tuple(_indices(pair, names, where) for pair in entries)


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
        fault = f"lacks {', '.join(sorted(missing))}" if missing else f"has unknown {', '.join(sorted(unknown))}"
        raise UserError(f"{where}: the skeleton {fault}")
    names = values["keypoints"]
    if not isinstance(names, Sequence) or isinstance(names, str):
        raise UserError(f"{where}: keypoints must be a list of names")
    pairs = {key: _pairs(values[key], names, f"{where}: {key}") for key in ("flip_pairs", "edges")}
    try:
        sigmas = tuple(float(sigma) for sigma in values["sigmas"])
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: sigmas must be a list of numbers") from error
    upper = _indices(values.get("upper_body", ()), names, f"{where}: upper_body")
    try:
        return Skeleton(str(values["name"]), tuple(names), pairs["flip_pairs"], pairs["edges"], sigmas, upper)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def load_skeleton(name_or_path: str) -> Skeleton:
    """A built-in skeleton by name (coco17, mpii16, posetrack15) or one from a .toml or .json file.

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
        raise UserError(f"no skeleton {name_or_path!r}; there are {known}, or give a .toml or .json file")
    try:
        text = path.read_text()
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: not valid {path.suffix[1:].upper()}: {error}") from error
    return skeleton_from_dict(values, str(path))


COCO17 = Skeleton(
    name="coco17",
    keypoints=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    edges=(
        (15, 13),
        (13, 11),
        (16, 14),
        (14, 12),
        (11, 12),
        (5, 11),
        (6, 12),
        (5, 6),
        (5, 7),
        (7, 9),
        (6, 8),
        (8, 10),
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (3, 5),
        (4, 6),
    ),
    sigmas=(
        (0.026, 0.025, 0.025, 0.035, 0.035)
        + (0.079, 0.079, 0.072, 0.072, 0.062, 0.062)
        + (0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
    ),
    upper_body=tuple(range(11)),
)

MPII16 = Skeleton(
    name="mpii16",
    keypoints=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "thorax",
        "upper_neck",
        "head_top",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    edges=(
        (0, 1),
        (1, 2),
        (2, 6),
        (3, 6),
        (3, 4),
        (4, 5),
        (6, 7),
        (7, 8),
        (8, 9),
        (7, 12),
        (12, 11),
        (11, 10),
        (7, 13),
        (13, 14),
        (14, 15),
    ),
    # Pelvis as a hip, thorax and neck as a shoulder, head top as an ear's extent (0.035).
    sigmas=(
        (0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.107, 0.079)
        + (0.079, 0.035, 0.062, 0.072, 0.079, 0.079, 0.072, 0.062)
    ),
    upper_body=(7, 8, 9, 10, 11, 12, 13, 14, 15),
)

POSETRACK15 = Skeleton(
    name="posetrack15",
    keypoints=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "head_bottom",
        "nose",
        "head_top",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    edges=(
        (0, 1),
        (1, 2),
        (3, 4),
        (4, 5),
        (2, 3),
        (2, 8),
        (3, 9),
        (6, 7),
        (7, 8),
        (9, 10),
        (10, 11),
        (8, 12),
        (9, 12),
        (12, 13),
        (13, 14),
    ),
    # Head bottom (the neck) as a shoulder, head top as an ear's extent (0.035).
    sigmas=(
        (0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.062, 0.072) + (0.079, 0.079, 0.072, 0.062, 0.079, 0.026, 0.035)
    ),
    upper_body=(6, 7, 8, 9, 10, 11, 12, 13, 14),
)

SKELETONS = {skeleton.name: skeleton for skeleton in (COCO17, MPII16, POSETRACK15)}
