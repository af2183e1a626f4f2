"""What a skeleton is: keypoint names, left-right pairs, edges to draw, and OKS sigmas."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
