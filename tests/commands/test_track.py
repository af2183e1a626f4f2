import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from media_files import FakeCamera, served, write_video
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


def test_boxes_of_a_file_and_those_of_frames_that_never_come(frames, capsys):
    save_model(tiny_network(SPEC), frames / "pose.keras")
    boxes = [
        {"image_id": index, "category_id": 1, "bbox": box.tolist(), "score": 0.9}
        for index, places in enumerate(WALKS)
        for box in np.concatenate([places, np.tile([40.0, 100.0], (2, 1))], -1)
    ]
    config = TrackConfig(
        input=str(frames / "frames"),
        output=str(frames / "out"),
        model=str(frames / "pose.keras"),
        boxes=str(frames / "boxes.json"),
        draw=False,
    )
    protocol = EvaluationConfig(evaluation_batch_size=2)
    for every in (1, 2):
        tracking = TrackingConfig(joint_threshold=0, pose_nms=1, propagation_threshold=0, detector_every=every)
        (frames / "boxes.json").write_text(json.dumps(boxes))
        assert track.main(config, tracking, DetectorConfig(), protocol) == 0
        assert "in 8 frames" in capsys.readouterr().out
    rows = (frames / "out" / "tracks.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows} == {str(number) for number in range(1, 9)}
    video = frames / "walk.mp4"
    with VideoFile(video, 25.0, "elsewhere") as file:
        for index in range(3):
            file.write(read_image(frames / "frames" / f"{index:03}.png"))
    short = replace(config, input=str(video), output=str(frames / "short"))
    assert track.main(short, TrackingConfig(), DetectorConfig(), protocol) == 1
    assert "boxes.json: has boxes of 3, 4, 5" in capsys.readouterr().err


def test_a_camera_runs_until_it_is_unplugged(frames, capsys, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    config = TrackConfig(input="0", output=str(frames / "out"), poses=str(frames / "poses.json"), maximum_frames=3)
    tracking = TrackingConfig(similarity="bbox")
    assert track.main(config, tracking, DetectorConfig(), EvaluationConfig()) == 0
    assert "2 persons, 6 poses in 3 frames" in capsys.readouterr().out
    assert (frames / "out" / "camera_0.mp4").stat().st_size
    endless = replace(config, maximum_frames=0, output=str(frames / "endless"))
    assert track.main(endless, tracking, DetectorConfig(), EvaluationConfig()) == 1
    output = capsys.readouterr()
    assert "stopped after 3 frames" in output.err and "poses of frame 3 and 4 more, which never came" in output.err
    assert "in 3 frames" in output.out


def test_a_stream_by_its_address(frames, capsys):
    body = write_video(frames / "v.mkv", 8, size=(240, 320), codec="FFV1").read_bytes()
    with served(body) as address:
        config = TrackConfig(input=address, output=str(frames / "out"), poses=str(frames / "poses.json"))
        # Grey frames that grow lighter: nothing of them is a cut that matters here.
        tracking = TrackingConfig(cut_histogram=2, cut_residual=256)
        assert track.main(config, tracking, DetectorConfig(), EvaluationConfig()) == 0
    assert "16 poses in 8 frames" in capsys.readouterr().out
    assert (frames / "out" / "walk.mp4").stat().st_size
    assert all("secret" not in path.read_text(errors="replace") for path in (frames / "out").iterdir())
