import collections
import contextlib
import io
import json
import os
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.synthetic.drawing import draw_figure
from keras_simplepose.data.synthetic.person import GROUP_COUNT, HEAD, sample_figure
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset, render_scene
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import file_hash
from keras_simplepose.utils.processes import WORKER_VARIABLE

INDEX = {name: index for index, name in enumerate(COCO17.keypoints)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """The annotation file, image folder and pycocotools' view of a data set of 40 pictures."""
    annotations, images = make_synthetic_dataset(tmp_path_factory.mktemp("people") / "set", 40, seed=7, workers=1)
    with contextlib.redirect_stdout(io.StringIO()):
        return annotations, images, COCO(str(annotations))


def people_of(dataset):
    coco = dataset[2]
    for person in coco.loadAnns(coco.getAnnIds()):
        with warnings.catch_warnings():
            # pycocotools' own masks lack NumPy 2's copy argument.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            mask = coco.annToMask(person)
        yield person, np.array(person["keypoints"]).reshape(17, 3), mask


def test_a_scene_follows_from_seed_and_index():
    image, people = render_scene(3, 5)
    again, people_again = render_scene(3, 5)
    np.testing.assert_array_equal(image, again)
    assert people == people_again
    assert image.shape == (240, 320, 3) and image.dtype == np.uint8
    assert (render_scene(4, 5)[0] != image).any()
    assert (render_scene(3, 6)[0] != image).any()


def test_bytes_depend_on_the_seed_but_not_on_the_workers(tmp_path):
    make_synthetic_dataset(tmp_path / "one", 35, seed=1, image_size=(64, 80), workers=1)
    make_synthetic_dataset(tmp_path / "two", 35, seed=1, image_size=(64, 80), workers=2)
    make_synthetic_dataset(tmp_path / "other", 35, seed=2, image_size=(64, 80), workers=1)
    assert file_hash(tmp_path / "one") == file_hash(tmp_path / "two")
    assert file_hash(tmp_path / "one" / "images") != file_hash(tmp_path / "other" / "images")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other", "two"]


def test_file_is_in_coco_format(dataset):
    annotations, images, _ = dataset
    content = json.loads(annotations.read_text())
    assert content.keys() == {"info", "licenses", "images", "annotations", "categories"}
    (category,) = content["categories"]
    assert (category["id"], category["name"]) == (1, "person")
    assert category["keypoints"] == list(COCO17.keypoints)
    assert np.min(category["skeleton"]) == 1 and np.max(category["skeleton"]) == 17
    assert len(content["images"]) == 40
    assert {entry["file_name"] for entry in content["images"]} == {path.name for path in images.iterdir()}
    for entry in content["images"]:
        assert cv2.imread(str(images / entry["file_name"])).shape == (entry["height"], entry["width"], 3)
    people = content["annotations"]
    assert [person["id"] for person in people] == list(range(1, len(people) + 1))
    for person in people:
        assert person.keys() == {
            "id", "image_id", "category_id", "bbox", "area", "iscrowd", "num_keypoints", "keypoints", "segmentation",
        }  # fmt: skip
        assert len(person["keypoints"]) == 51 and person["category_id"] == 1 and person["iscrowd"] == 0
        assert person["num_keypoints"] == sum(flag > 0 for flag in person["keypoints"][2::3]) > 0


def test_file_agrees_with_the_scenes(dataset):
    _, images, coco = dataset
    image, people = render_scene(7, 11)
    stored = coco.loadAnns(coco.getAnnIds(imgIds=[12]))
    assert [{key: person[key] for key in people[0]} for person in stored] == people
    decoded = cv2.imread(str(images / coco.imgs[12]["file_name"]))[..., ::-1]
    # JPEG halves the resolution of colour, so compare what is left after a blur; swapped channels differ by far more.
    difference = np.abs(cv2.blur(decoded, (5, 5)).astype(int) - cv2.blur(image, (5, 5))).mean()
    swapped = np.abs(cv2.blur(decoded[..., ::-1], (5, 5)).astype(int) - cv2.blur(image, (5, 5))).mean()
    assert difference < 4 < swapped


def test_perfect_predictions_reach_ap_1(dataset):
    coco = dataset[2]
    keys = ("image_id", "category_id", "keypoints")
    results = [{key: person[key] for key in keys} | {"score": 1.0} for person, _, _ in people_of(dataset)]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    assert evaluation.stats[5] == pytest.approx(1.0)


def test_box_area_and_keypoints_fit_the_silhouette(dataset):
    for person, keypoints, mask in people_of(dataset):
        rows, columns = np.nonzero(mask)
        left, top = columns.min(), rows.min()
        assert person["bbox"] == [left, top, columns.max() - left + 1, rows.max() - top + 1]
        assert person["area"] == mask.sum() >= 32
        for x, y, flag in keypoints:
            if flag == 0:
                assert x == y == 0
            else:
                assert 0 <= x <= 319 and 0 <= y <= 239
            if flag == 2:
                assert mask[round(y), round(x)]


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    index=st.integers(0, 2**20),
    height=st.integers(32, 150),
    width=st.integers(32, 150),
    maximum=st.integers(1, 7),
)
def test_any_scene_is_sound(seed, index, height, width, maximum):
    image, people = render_scene(seed, index, (height, width), maximum)
    assert image.shape == (height, width, 3)
    assert len(people) <= maximum
    for person in people:
        x, y, box_width, box_height = person["bbox"]
        assert 0 <= x and x + box_width <= width and 0 <= y and y + box_height <= height
        points = np.array(person["keypoints"]).reshape(17, 3)
        labelled = points[points[:, 2] > 0]
        assert (labelled[:, :2] >= 0).all() and (labelled[:, :2] <= (width - 1, height - 1)).all()


def test_truncation_occlusion_scale_and_numbers_vary(dataset):
    truncated, flags, heights, counts = 0, collections.Counter(), [], collections.Counter()
    for person, keypoints, _ in people_of(dataset):
        flags.update(keypoints[:, 2])
        x, y, width, height = person["bbox"]
        truncated += x == 0 or y == 0 or x + width == 320 or y + height == 240
        heights.append(height)
        counts[person["image_id"]] += 1
    total = sum(flags.values())
    assert 0.05 < truncated / len(heights) < 0.5
    assert 0.04 < flags[1] / total < 0.3
    assert 0.04 < flags[0] / total < 0.35
    assert min(heights) < 90 and max(heights) > 190
    assert set(counts.values()) == {1, 2, 3, 4}


def test_sides_are_the_persons_own():
    rng = np.random.default_rng(0)
    facing, away = [], []
    for _ in range(300):
        figure = sample_figure(rng)
        x = dict(zip(COCO17.keypoints, figure.keypoints[:, 0], strict=True))
        front_hidden, ears_hidden = figure.turned_away[:3], figure.turned_away[3:5]
        shoulders = x["left_shoulder"] > x["right_shoulder"]
        if not front_hidden.any():
            assert x["left_eye"] > x["right_eye"]
            facing.append(shoulders)
        elif front_hidden.all() and not ears_hidden.any():
            assert x["left_ear"] < x["right_ear"]
            away.append(shoulders)
    assert len(facing) > 150 and np.mean(facing) > 0.97
    assert len(away) > 10 and np.mean(away) < 0.03


def test_a_torso_hides_at_most_one_of_two_hips_or_shoulders():
    rng = np.random.default_rng(2)
    hidden = np.array([sample_figure(rng).turned_away for _ in range(300)])
    for joint in ("shoulder", "hip"):
        both = hidden[:, [INDEX[f"left_{joint}"], INDEX[f"right_{joint}"]]]
        assert both.any() and not both.all(axis=1).any()


def test_people_are_upright_and_poses_vary():
    rng = np.random.default_rng(1)
    keypoints = np.array([sample_figure(rng).keypoints for _ in range(200)])
    nose, ankles = keypoints[:, INDEX["nose"], 1], keypoints[:, INDEX["left_ankle"] :, 1]
    assert np.mean(nose[:, None] < ankles) > 0.99
    assert keypoints[:, INDEX["left_wrist"]].std(axis=0).min() > 0.08
    assert keypoints[:, INDEX["left_ankle"]].std(axis=0).min() > 0.03


def test_keypoints_are_where_they_are_drawn():
    rng = np.random.default_rng(5)
    eyes = 0
    for _ in range(60):
        figure = sample_figure(rng)
        image, labels = np.full((600, 600, 3), 128, np.uint8), np.zeros((600, 600), np.int16)
        draw_figure(image, labels, figure, np.array((300.0, 290.0)), 450.0, 10, (0.5, -0.6))
        assert set(np.unique(labels)) <= {0, *range(10, 10 + GROUP_COUNT)}
        columns, rows = np.round(450.0 * figure.keypoints + (300.0, 290.0)).astype(int).T
        shown = ~figure.turned_away
        assert (labels[rows, columns] > 0)[shown].all()
        for eye in (INDEX["left_eye"], INDEX["right_eye"]):
            if shown[eye] and labels[rows[eye], columns[eye]] == 10 + HEAD - 1:
                eyes += 1
                assert image[rows[eye], columns[eye]].max() < 60  # the pupil
    assert eyes > 60


def test_segments_meet_in_the_joints():
    rng = np.random.default_rng(6)
    for _ in range(40):
        figure = sample_figure(rng)
        ends = np.array([capsule for part in figure.parts for capsule in part.capsules]).reshape(-1, 3)[:, :2]
        for joint in COCO17.keypoints[5:]:
            distance = np.linalg.norm(ends - figure.keypoints[INDEX[joint]], axis=1)
            assert np.sum(distance < 1e-9) >= 2


def test_a_new_data_set_replaces_an_old_one_but_nothing_else(tmp_path):
    arguments = {"seed": 1, "image_size": (40, 40)}
    make_synthetic_dataset(tmp_path / "set", 3, **arguments)
    annotations, images = make_synthetic_dataset(tmp_path / "set", 2, **arguments)
    assert len(list(images.iterdir())) == 2 and annotations.is_file()
    (tmp_path / "set" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match=r"thesis\.txt"):
        make_synthetic_dataset(tmp_path / "set", 2, **arguments)
    assert (tmp_path / "set" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_count": 0}, "image_count is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"image_size": (8, 100)}, "image_size"),
        ({"maximum_persons": 0}, "maximum_persons is 0"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, wrong, message):
    with pytest.raises(UserError, match=message):
        make_synthetic_dataset(**({"folder": tmp_path / "set", "image_count": 1, "seed": 0} | wrong))
    assert not (tmp_path / "set").exists()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "set").write_text("")
    with pytest.raises(UserError, match="is a file"):
        make_synthetic_dataset(tmp_path / "set", 1, 0)


def test_workers_need_no_tensorflow():
    code = "import sys, keras_simplepose.data.synthetic.scenes; sys.exit('tensorflow' in sys.modules)"
    environment = os.environ | {WORKER_VARIABLE: "1"}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
