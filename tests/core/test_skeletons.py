import dataclasses
import json

import numpy as np
import pytest

from keras_simplepose.core.skeletons import SKELETONS, Skeleton, load_skeleton, skeleton_from_dict
from keras_simplepose.data.coco import load_persons
from keras_simplepose.utils.errors import UserError

TOML = """
name = "cat"
keypoints = ["nose", "left_paw", "right_paw", "tail"]
flip_pairs = [["left_paw", "right_paw"]]
edges = [["nose", "tail"], [0, 1], ["nose", 2]]
sigmas = [0.1, 0.2, 0.2, 0.3]
upper_body = ["nose", 1]
"""
CAT = Skeleton(
    "cat",
    ("nose", "left_paw", "right_paw", "tail"),
    ((1, 2),),
    ((0, 3), (0, 1), (0, 2)),
    (0.1, 0.2, 0.2, 0.3),
    (0, 1),
)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))
def test_built_in_skeletons(skeleton):
    assert load_skeleton(skeleton.name) is skeleton
    order = skeleton.flip_order
    np.testing.assert_array_equal(order[order], np.arange(len(skeleton.keypoints)))
    for index, name in enumerate(skeleton.keypoints):
        other = name.replace("left", "*").replace("right", "left").replace("*", "right")
        assert skeleton.keypoints[order[index]] == other
        if skeleton.name != "aic14":  # Whose evaluation code has other values left than right.
            assert skeleton.sigmas[order[index]] == skeleton.sigmas[index]
    connected = {index for edge in skeleton.edges for index in edge}
    assert connected == set(range(len(skeleton.keypoints)))
    mirrored_edges = {frozenset(int(order[index]) for index in edge) for edge in skeleton.edges}
    assert mirrored_edges == {frozenset(edge) for edge in skeleton.edges}
    assert skeleton_from_dict(skeleton.to_dict()) == skeleton


def test_coco_sigmas_are_pycocotools():
    from pycocotools.cocoeval import Params

    np.testing.assert_allclose(SKELETONS["coco17"].sigmas, Params("keypoints").kpt_oks_sigmas)


def test_the_sizes_are_in_the_names():
    assert {name: len(skeleton.keypoints) for name, skeleton in SKELETONS.items()} == {
        "coco17": 17,
        "mpii16": 16,
        "posetrack15": 15,
        "posetrack18": 17,  # Named after its year.
        "jhmdb15": 15,
        "crowdpose14": 14,
        "aic14": 14,
        "ochuman17": 17,
    }


def test_posetrack18_is_coco_but_for_the_eyes():
    coco, posetrack = (SKELETONS[name] for name in ("coco17", "posetrack18"))
    assert posetrack.keypoints[:5] == ("nose", "head_bottom", "head_top", "left_ear", "right_ear")
    assert posetrack.keypoints[5:] == coco.keypoints[5:] and posetrack.sigmas == coco.sigmas
    assert posetrack.flip_pairs == coco.flip_pairs[1:]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("posetrack18", "posetrack18/annotations/test_posetrack18_val.json"),
        ("jhmdb15", "jhmdb/test_jhmdb_sub1.json"),
        ("crowdpose14", "crowdpose/test_crowdpose.json"),
        ("aic14", "aic/test_aic.json"),
        ("ochuman17", "ochuman/test_ochuman.json"),
    ],
)
def test_skeletons_are_those_of_the_data_sets_files(shared_data, name, file):
    persons = load_persons(shared_data / "mmpose_tests" / "tests" / "data" / file, SKELETONS[name])
    assert persons.persons and not persons.remarks


def test_a_toml_file_with_names_and_indices(tmp_path):
    (tmp_path / "cat.toml").write_text(TOML)
    assert load_skeleton(str(tmp_path / "cat.toml")) == CAT


def test_a_json_file(tmp_path):
    (tmp_path / "cat.json").write_text(json.dumps(CAT.to_dict()))
    assert load_skeleton(str(tmp_path / "cat.json")) == CAT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": ()}, "non-empty"),
        ({"keypoints": ("nose", "paw", "paw", "tail")}, "twice: paw"),
        ({"flip_pairs": ((1, 2), (2, 3))}, r"no involution: 2 \(right_paw\)"),
        ({"flip_pairs": ((1, 1),)}, "joins a keypoint to itself"),
        ({"flip_pairs": ((1, 4),)}, r"flip pair \(1, 4\) names no keypoint"),
        ({"edges": ((0, 17),)}, r"edge \(0, 17\) names no keypoint; indices are 0 to 3"),
        ({"edges": ((-1, 0),)}, r"edge \(-1, 0\) names no keypoint"),
        ({"edges": ((0, 1, 2),)}, "names no keypoint"),
        ({"sigmas": (0.1, 0.2, 0.2)}, "3 sigmas for 4 keypoints"),
        ({"sigmas": (0.1, 0.0, 0.2, 0.3)}, "sigma of left_paw is 0.0"),
        ({"sigmas": (0.1, 0.1, float("nan"), 0.3)}, "sigma of right_paw is nan"),
        ({"upper_body": (4,)}, "upper_body names no keypoint"),
    ],
)
def test_faults_are_named(change, message):
    with pytest.raises(UserError, match=message) as caught:
        dataclasses.replace(CAT, **change)
    assert "'cat'" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOML.replace('"left_paw", "right_paw"]]', '"left_paw", "paw"]]'), "flip_pairs: there is no keypoint 'paw'"),
        (TOML.replace("[0, 1]", "[0.5, 1]"), "0.5 is neither a keypoint's name nor its index"),
        (TOML.replace("[0, 1]", "[true, 1]"), "True is neither"),
        (TOML.replace("[0, 1]", '"nose"'), "is not a list of keypoints"),
        (TOML.replace("sigmas = [0.1", 'sigmas = ["wide"'), "sigmas must be a list of numbers"),
        (TOML.replace("sigmas", "deviations"), "lacks sigmas"),
        (TOML + "colour = 3\n", "unknown colour"),
        (TOML.replace('keypoints = ["nose", "left_paw", "right_paw", "tail"]', "keypoints = 4"), "list of names"),
        (TOML.replace("edges = [", "edges = 3 #"), "edges: 3 is not a list of pairs"),
        ("name = ", "not valid TOML"),
    ],
)
def test_faults_of_a_file_name_the_file(tmp_path, text, message):
    path = tmp_path / "cat.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_skeleton(str(path))
    assert "cat.toml" in str(caught.value)


@pytest.mark.parametrize("text", ["3", "[]", "null"])
def test_json_that_is_no_table(tmp_path, text):
    (tmp_path / "cat.json").write_text(text)
    with pytest.raises(UserError, match="cat.json: a skeleton is a table"):
        load_skeleton(str(tmp_path / "cat.json"))


def test_unknown_names_and_missing_files(tmp_path):
    with pytest.raises(UserError, match="no skeleton 'coco18'; there are coco17, mpii16, posetrack15, posetrack18"):
        load_skeleton("coco18")
    with pytest.raises(UserError, match="cat.toml: cannot be read"):
        load_skeleton(str(tmp_path / "cat.toml"))


@pytest.mark.parametrize("key", ["flip_pairs", "edges", "sigmas", "keypoints", "upper_body"])
def test_a_number_where_a_list_belongs_is_a_user_error(key):
    with pytest.raises(UserError):
        skeleton_from_dict(CAT.to_dict() | {key: 3})
