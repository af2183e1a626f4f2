"""What names of keypoints tell: sides, joints, and so the pairs that a mirror image swaps."""

import re
from collections.abc import Sequence

_SIDE = re.compile(r"(?:^|[\s_\-.])(left|right|l|r)(?=$|[\s_\-.])|^(left|right)(?=[A-Z])", re.IGNORECASE)
_CAMEL = re.compile(r"^([lr])(?=[A-Z][a-z])|(?<=[a-z])(Left|Right|L|R)$")


def side_and_joint(name: str) -> tuple[str, str]:
    """The side (l, r or nothing) and the rest of a name: left_hip, Left Hip, hip_l, leftHip and lHip are l and hip."""
    match = _SIDE.search(name) or _CAMEL.search(name)
    if not match:
        return "", _plain(name)
    side = next(filter(None, match.groups()))[0].lower()
    return side, _plain(name[: match.start()] + name[match.end() :])


def pairs_from_names(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Index pairs (left, right) of the names that differ in their side only, each keypoint in one pair at most."""
    places: dict[tuple[str, str], int] = {}
    for place, name in enumerate(names):
        places.setdefault(side_and_joint(name), place)
    return tuple(
        (place, places["r", joint]) for (side, joint), place in places.items() if side == "l" and ("r", joint) in places
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-.]", "", name).lower()
