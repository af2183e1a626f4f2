import json

import numpy as np
import pytest

from keras_simplepose.data.posetrack import FILE_KEYPOINTS, JOINTS, read_films
from keras_simplepose.utils.errors import UserError


def content():
    """A file of two frames; joint j of the person lies at (10 j + 1, 5)."""
    keypoints = [value for j in range(17) for value in (10 * j + 1, 5, 1)]
    person = {"image_id": 7, "track_id": 3, "keypoints": keypoints, "bbox_head": [1, 2, 30, 40], "scores": []}
    images = [
        {"id": 7, "file_name": "a/0.jpg", "vid_id": "v", "is_labeled": True}
        | {"ignore_regions_x": [[0, 9, 9]], "ignore_regions_y": [[0, 0, 9]]},
        {"id": 8, "file_name": "a/1.jpg", "vid_id": "v", "is_labeled": False},
    ]
    category = {"id": 1, "name": "person", "keypoints": list(FILE_KEYPOINTS)}
    return {"images": images, "annotations": [person], "categories": [category]}


def write(path, value):
    path.write_text(json.dumps(value))
    return path


def test_joints_come_by_name_and_the_ears_are_left_out(tmp_path):
    (film,) = read_films(write(tmp_path / "v.json", content()))
    frame, other = film.frames.values()
    assert film.name == "v" and list(film.frames) == ["0.jpg", "1.jpg"]
    assert frame.points.shape == (1, 15, 2) and frame.ids.tolist() == [3]
    for joint, name in enumerate(JOINTS):
        assert frame.points[0, joint].tolist() == [10 * FILE_KEYPOINTS.index(name) + 1, 5]
    assert frame.heads.tolist() == [[1, 2, 30, 40]]
    assert np.isnan(frame.scores).all()
    assert frame.ignored[0].tolist() == [[0, 0], [9, 0], [9, 9]]
    assert len(other) == 0 and not other.labelled and frame.labelled


def test_a_folder_of_files_and_several_videos_in_one(tmp_path):
    write(tmp_path / "a.json", content())
    other = content()
    other["images"][0]["vid_id"], other["images"][1]["vid_id"] = "w", "x"
    write(tmp_path / "b.json", other)
    assert [film.name for film in read_films(tmp_path)] == ["v", "w", "x"]
    assert [film.name for film in read_films(tmp_path, only_first=True)] == ["v", "w"]
    write(tmp_path / "c.json", content())
    with pytest.raises(UserError, match="video v is in several files"):
        read_films(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.pop("images"), "no list of images"),
        (lambda value: value["images"][0].pop("file_name"), "KeyError: 'file_name'"),
        (lambda value: value["images"].pop(0), "annotations of frame 7, which is not in its list"),
        (lambda value: value["images"][1].update(file_name="a/0.jpg"), "listed twice"),
        (lambda value: value["annotations"][0].pop("track_id"), "no track_id"),
        (lambda value: value["annotations"][0]["keypoints"].pop(), "50 numbers as keypoints"),
        (lambda value: value["annotations"][0].update(scores=[1]), "1 scores for 17"),
        (lambda value: value["annotations"][0]["keypoints"].__setitem__(0, float("nan")), "no numbers"),
        (lambda value: value["categories"][0]["keypoints"].__setitem__(0, "beak"), "lacks nose"),
        (lambda value: value["images"][0].update(ignore_regions_x=[[1, 2, 3, 4]]), "not as PoseTrack's files are"),
    ],
)
def test_faulty_files_end_in_one_line(tmp_path, change, message):
    value = content()
    change(value)
    with pytest.raises(UserError, match=message):
        read_films(write(tmp_path / "v.json", value))


def test_files_of_2021_hold_people_without_joints_and_ids_of_persons(tmp_path):
    """As its documentation has them: has_labeled_person, person_id, no scores, a box alone where no joint is told."""
    value = content()
    value["images"][1].update(has_labeled_person=True)
    del value["annotations"][0]["scores"]
    value["annotations"][0].update(person_id=1024, id=1)
    alone = {"image_id": 8, "track_id": 4, "person_id": 7, "id": 2, "keypoints": [0] * 51, "bbox": [1, 2, 3, 4]}
    value["annotations"].append(alone | {"bbox_head": [0, 0, 0, 0]})
    (film,) = read_films(write(tmp_path / "v.json", value))
    frame, other = film.frames.values()
    assert frame.ids.tolist() == [3] and not other.labelled and not other.visible.any()


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"no \.json file"):
        read_films(tmp_path)


def test_files_of_posetrack18(shared_data):
    folder = shared_data / "mmpose_tests/tests/data/posetrack18/annotations/val"
    films = read_films(folder)
    assert sorted(len(frame) for film in films for frame in film.frames.values()) == [1, 2, 11]
    assert all(frame.ignored and (frame.heads[:, 2:] > 0).all() for film in films for frame in film.frames.values())
