import json

import numpy as np
import pytest

from keras_simplepose.core.geometry import box_to_crop, crop_matrix, transform_points
from keras_simplepose.data.mpii import load_mpii
from keras_simplepose.media.images import encode_jpeg, read_image
from keras_simplepose.utils.errors import UserError


def entry(**changes):
    joints = [[10.0 + index, 20.0] for index in range(16)]
    values = {"image": "a.jpg", "center": [101.0, 81.0], "scale": 0.5, "joints": joints, "joints_vis": [1] * 16}
    return values | changes


@pytest.fixture
def load(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(encode_jpeg(np.zeros((160, 200, 3), np.uint8), 80))

    def load(values, **options):
        (tmp_path / "mpii.json").write_text(json.dumps(values))
        return load_mpii(tmp_path / "mpii.json", tmp_path, **options)

    return load


def test_crops_are_the_releases(load):
    persons = load([entry(), entry(image="b.jpg"), entry()])
    assert [(person.image_id, person.annotation_id) for person in persons.persons] == [(1, 1), (2, 2), (1, 3)]
    assert (persons.images[2].file_name, persons.images[2].height, persons.images[2].width) == ("b.jpg", 160, 200)
    person = persons.persons[0]
    center, crop_width = box_to_crop(np.array(person.box), (256, 256))
    # By the release: centre (101, 81 + 15 · 0.5) less 1; scale 0.5 · 1.25 of 200 pixels.
    np.testing.assert_allclose(center, [100, 87.5])
    assert crop_width == pytest.approx(125)
    np.testing.assert_array_equal(person.keypoints[0], [9, 19])


def test_persons_without_joints_are_left_out_and_counted(load):
    bare = entry(joints_vis=[0] * 16)
    test_file = {key: entry()[key] for key in ("image", "center", "scale")}
    persons = load([entry(), bare, test_file])
    assert len(persons.persons) == 1 and persons.left_out == {"no labelled keypoint": 2}
    everyone = load([entry(), bare, test_file], labelled_only=False)
    assert [person.annotation_id for person in everyone.persons] == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "not MPII annotations"),
        ([entry(), 3], "person 2: names no image"),
        ([entry(image="absent.jpg")], "absent.jpg"),
        ([{"image": "a.jpg", "scale": 1}], "person 1 lacks 'center'"),
        ([entry(scale=0)], "person 1: scale"),
        ([entry(center=[float("nan"), 1])], "person 1"),
        ([entry(center="here")], "person 1"),
        ([entry(joints=[[1, 2]] * 15)], "person 1: joints must be 16"),
        ([entry(joints=[[1, float("inf")]] * 16)], "person 1"),
        ([entry(joints=[1] * 16)], "person 1: joints holds 1"),
        ([entry(joints_vis=[1] * 15 + ["1"])], "person 1: joints_vis is '1', which is text"),
        ([entry(joints_vis=[-1] * 16)], "person 1: joints_vis holds a negative"),
        ([entry(scale="1")], "person 1: scale is '1', which is text"),
        ([entry(center=[10**400, 1])], "person 1: center is .*at most"),
        ([entry(image="a\0.jpg")], "person 1: image is .*must be the name of a file"),
    ],
)
def test_faults_are_named(load, values, named):
    with pytest.raises(UserError, match=named):
        load(values)


def test_real_persons_are_inside_their_crops(shared_data):
    folder = shared_data / "mmpose_tests" / "tests" / "data" / "mpii"
    persons = load_mpii(folder / "test_mpii.json", folder)
    assert len(persons.persons) == 5
    for person in persons.persons:
        image = persons.images[person.image_id]
        read_image(folder / image.file_name, (image.height, image.width))
        center, crop_width = box_to_crop(np.array(person.box), (256, 256))
        points = transform_points(crop_matrix(center, crop_width, (256, 256)), person.keypoints[person.visible > 0])
        assert np.mean((points >= 0) & (points < 256)) > 0.95
