import json

import numpy as np
import pytest
from tracking_scenes import poses_of, standing

from keras_simplepose.core.poses import TrackedPoses
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.posetrack import JOINTS, read_films
from keras_simplepose.tracking.files import PoseResults, TrackFiles
from keras_simplepose.utils.errors import UserError


def test_tracks_survive_writing_and_reading(tmp_path):
    poses = poses_of([standing(0, 0), standing(99, 0)])
    poses.reliable[1, 9] = False  # The left wrist.
    frames = [("0.jpg", TrackedPoses(poses, np.array([4, 12_345]), np.zeros(2, bool)))]
    frames.append(("1.jpg", TrackedPoses(poses_of([]), np.zeros(0, int), np.zeros(0, bool))))
    with TrackFiles(tmp_path, "v") as files:
        for name, tracked in frames:
            files.write(name, tracked)
    (film,) = read_films(tmp_path / "tracks.json")
    first, second = film.frames.values()
    assert first.ids.tolist() == [4, 12_345] and len(second) == 0 and second.labelled
    nose, neck, wrist = (JOINTS.index(name) for name in ("nose", "head_bottom", "left_wrist"))
    np.testing.assert_allclose(first.points[0, nose], standing(0, 0)[0], rtol=1e-6)
    assert first.scores[0, nose] == pytest.approx(0.9)
    rows = (tmp_path / "tracks.csv").read_text().splitlines()
    assert rows[1] == "1,12345,103.00,5.00,32.00,95.00,0.9000,-1,-1,-1" and len(rows) == 2
    # COCO has no neck, and the wrist was not found.
    assert first.visible[0, neck] == 0 and first.visible[:, wrist].tolist() == [1, 0]


def test_nothing_is_left_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), TrackFiles(tmp_path, "v"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_poses_by_frame(tmp_path):
    path = tmp_path / "poses.json"
    points = np.concatenate([standing(0, 0), np.full((17, 1), 0.5)], -1)
    path.write_text(json.dumps([{"image_id": 3, "keypoints": points.reshape(-1).tolist(), "score": 0.7}]))
    results = PoseResults(path, COCO17, 0.0)
    assert len(results(0)) == 0 and "poses of frame 3, which never came" in results.unseen()
    np.testing.assert_allclose(results(3).keypoints[0], points, rtol=1e-6)
    np.testing.assert_allclose(results(3).boxes, [[4, 5, 32, 95]], rtol=1e-5)
    assert results.unseen() == ""


@pytest.mark.parametrize(
    ("value", "message"),
    [({}, "not a list"), ([{"image_id": 1}], "entry 0"), ([{"image_id": 1, "keypoints": [1, 2]}], "coco17 has 51")],
)
def test_faulty_poses(tmp_path, value, message):
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=message):
        PoseResults(path, COCO17, 0.0)
