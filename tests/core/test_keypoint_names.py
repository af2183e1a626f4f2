"""Sides and pairs, from the spellings that people use."""

from keras_simplepose.core.keypoint_names import pairs_from_names, side_and_joint
from keras_simplepose.core.skeletons import SKELETONS


def test_sides_are_read_from_all_usual_spellings():
    for name in (
        "left_hip",
        "Left Hip",
        "l_hip",
        "hip_l",
        "hip-L",
        "leftHip",
        "left.hip",
        "lHip",
        "hipL",
        "hipLeft",
        "lefthip",
    ):
        assert side_and_joint(name) == ("l", "hip"), name
    for name in ("nose", "belly", "lip", "rear", "ear", "palm", "label", "URL"):
        assert side_and_joint(name) == ("", name.lower()), name


def test_pairs_are_those_of_the_built_in_skeletons():
    for skeleton in SKELETONS.values():
        found = {frozenset(pair) for pair in pairs_from_names(skeleton.keypoints)}
        assert found == {frozenset(pair) for pair in skeleton.flip_pairs}, skeleton.name


def test_a_keypoint_without_its_other_side_is_in_no_pair():
    assert pairs_from_names(("left_hip", "nose", "right_knee")) == ()
    assert pairs_from_names(("left_hip", "hip_l", "r_hip", "RightHip")) == ((0, 2),)
