import json

import numpy as np
import pytest
from stand_ins import SPEC, tiny_network
from tracking_scenes import Film

from keras_simplepose import evaluate_tracking, save_model, track
from keras_simplepose.config import (
    DetectorConfig,
    EvaluationConfig,
    TrackConfig,
    TrackEvaluationConfig,
    TrackingConfig,
)
from keras_simplepose.data.posetrack import FILE_KEYPOINTS
from keras_simplepose.media.images import read_image
from keras_simplepose.media.output import write_picture
from keras_simplepose.media.video import VideoFile
from keras_simplepose.utils.errors import UserError

WALKS = np.stack([np.array([[20 + 6 * k, 60], [240 - 6 * k, 90]]) for k in range(8)]).astype(float)


@pytest.fixture
def frames(tmp_path):
    """A folder of frames, and poses.json of them."""
    film, entries = Film(WALKS), []
    for index in range(len(WALKS)):
        write_picture(tmp_path / "frames", f"{index:03}.png", film.frame(index))
        for joints in film.joints(index):
            keypoints = np.concatenate([joints, np.full((17, 1), 0.9)], -1).reshape(-1).tolist()
            entries.append({"image_id": index, "category_id": 1, "keypoints": keypoints, "score": 0.9})
    (tmp_path / "poses.json").write_text(json.dumps(entries))
    return tmp_path


def run(folder, **options):
    config = TrackConfig(
        input=str(folder / "frames"), output=str(folder / "out"), poses=str(folder / "poses.json"), **options
    )
    return track.main(config, TrackingConfig(), DetectorConfig(), EvaluationConfig())


def test_poses_are_tracked_without_a_network_and_measured(frames, capsys):
    assert run(frames, smooth=True) == 0
    assert "2 persons, 16 poses in 8 frames, 0 cuts" in capsys.readouterr().out
    rows = [line.split(",") for line in (frames / "out" / "tracks.csv").read_text().splitlines()]
    by_id = {person: [float(row[2]) for row in rows if row[1] == person] for person in ("1", "2")}
    assert all(len(places) == 8 for places in by_id.values())
    assert sorted(np.sign(places[-1] - places[0]) for places in by_id.values()) == [-1, 1]
    assert len(list((frames / "out").glob("frames.*"))) == 1  # The video.
    # The tracks as their own ground truth: heads are 30×40, and COCO's people lack neck and head top.
    truth = json.loads((frames / "out" / "tracks.json").read_text())
    for entry in truth["annotations"]:
        entry["bbox_head"] = [0, 0, 30, 40]
    (frames / "truth.json").write_text(json.dumps(truth))
    paths = {"annotations": str(frames / "truth.json"), "results": str(frames / "out" / "tracks.json")}
    evaluate_tracking.main(TrackEvaluationConfig(**paths, output=str(frames / "figures.json")))
    figures = json.loads((frames / "figures.json").read_text())
    assert figures["total"]["mota"] == pytest.approx(100) and figures["joints"]["head_top"]["ap"] is None
    assert "idf1 100" in capsys.readouterr().out
    assert "head_top" in FILE_KEYPOINTS


def test_an_unreadable_frame_in_the_middle_is_reported_and_ids_go_on(frames, capsys):
    (frames / "frames" / "003.png").write_bytes(b"no picture")
    assert run(frames, draw=False) == 1
    output = capsys.readouterr()
    assert "2 persons, 14 poses in 7 frames" in output.out and "003.png" in output.err
    assert not list((frames / "out").glob("frames.*"))


def test_a_frame_of_another_size_begins_a_new_scene(frames, capsys):
    name = "005.png"
    write_picture(frames / "frames", name, read_image(frames / "frames" / name)[:200])
    assert run(frames, draw=False) == 0
    assert "6 persons, 16 poses in 8 frames, 2 cuts" in capsys.readouterr().out
    with pytest.raises(UserError, match="another size|first was|is .* where"):
        run(frames)


def test_the_source_and_other_files_are_kept(frames):
    with VideoFile(frames / "out" / "walk.mp4", 25.0, "elsewhere") as video:
        for _ in range(3):
            video.write(np.full((48, 64, 3), 90, np.uint8))
    before = (frames / "out" / "walk.mp4").read_bytes()
    config = TrackConfig(
        input=str(frames / "out" / "walk.mp4"), output=str(frames / "out"), poses=str(frames / "poses.json")
    )
    with pytest.raises(UserError, match=r"walk\.mp4: is an input"):
        track.main(config, TrackingConfig(), DetectorConfig(), EvaluationConfig())
    assert (frames / "out" / "walk.mp4").read_bytes() == before
    (frames / "out" / "tracks.csv").write_text("a user's")
    with pytest.raises(UserError, match=r"tracks\.csv: is there already"):
        run(frames)


def test_only_so_many_frames(frames, capsys):
    assert run(frames, draw=False, maximum_frames=3) == 0
    assert "in 3 frames" in capsys.readouterr().out


def test_with_detector_and_network(frames, capsys):
    save_model(tiny_network(SPEC), frames / "pose.keras")
    config = TrackConfig(input=str(frames / "frames"), output=str(frames / "out"), model=str(frames / "pose.keras"))
    tracking = TrackingConfig(joint_threshold=0, similarity="bbox", detector_every=2)
    protocol = EvaluationConfig(evaluation_batch_size=2)
    assert track.main(config, tracking, DetectorConfig(detector="none"), protocol) == 0
    assert "in 8 frames" in capsys.readouterr().out
