"""Skeletons whose pairs, edges or sigmas contradict the names of their keypoints."""

from collections.abc import Iterator

from keras_simplepose.core.keypoint_names import side_and_joint
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.reporting.findings import Finding


def skeleton_faults(skeleton: Skeleton) -> Iterator[Finding]:
    """Yields what contradicts the names."""
    parts = [side_and_joint(name) for name in skeleton.keypoints]
    names, paired = skeleton.keypoints, {index for pair in skeleton.flip_pairs for index in pair}
    for first, second in skeleton.flip_pairs:
        (side, joint), (other_side, other_joint) = parts[first], parts[second]
        if (side or other_side) and not (joint == other_joint and {side, other_side} == {"l", "r"}):
            yield Finding("flip pair against the names", f"{names[first]} and {names[second]}")
        elif skeleton.sigmas[first] != skeleton.sigmas[second]:
            text = f"{names[first]} {skeleton.sigmas[first]:g}, {names[second]} {skeleton.sigmas[second]:g}"
            yield Finding("sigmas against the names", text)
    for index, (side, joint) in enumerate(parts):
        if side == "l" and ("r", joint) in parts and index not in paired:
            yield Finding("flip pair against the names", f"{names[index]} is in no flip pair")
    for first, second in skeleton.edges:
        (side, joint), (other_side, other_joint) = parts[first], parts[second]
        if {side, other_side} == {"l", "r"} and joint != other_joint:
            yield Finding("edge against the names", f"{names[first]} to {names[second]}")
