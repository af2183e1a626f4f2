import cv2
import numpy as np
import pytest
from media_files import FakeCamera, image_file, read_all, served, write_video
from PIL import Image

from keras_simplepose.media import output as media_output
from keras_simplepose.media.output import Window, write_picture
from keras_simplepose.media.source import ImageFiles, image_ids, open_source
from keras_simplepose.utils.errors import UserError


def test_a_folder_gives_its_images_in_order(tmp_path):
    for name, value in (("b.png", 20), ("a.jpg", 10), ("C.PNG", 30), (".hidden.png", 1), ("below/d.png", 40)):
        image_file(tmp_path / name, value)
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(str(tmp_path))
    frames, faults = read_all(source)
    assert source.kind == "images" and source.total == 3 and not faults
    assert [(frame.index, frame.name) for frame in frames] == [(0, "C.PNG"), (1, "a.jpg"), (2, "b.png")]
    assert [int(frame.image.mean()) for frame in frames] == [30, 10, 20]


def test_a_glob_reaches_below_and_names_stay_apart(tmp_path):
    for name in ("x/a.png", "y/a.png", "y/b.jpg"):
        image_file(tmp_path / name)
    assert open_source(str(tmp_path / "**" / "*.png")).names == ["x/a.png", "y/a.png"]
    assert open_source(str(tmp_path / "y" / "*")).names == ["a.png", "b.jpg"]


def test_one_image(tmp_path):
    frames, _ = read_all(open_source(str(image_file(tmp_path / "[odd] name.png"))))
    assert [frame.name for frame in frames] == ["[odd] name.png"]


def test_photographs_are_turned_as_their_exif_data_say(tmp_path):
    image = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # Turn by 90 degrees clockwise.
    image.save(tmp_path / "turned.jpg", exif=exif)
    frames, _ = read_all(open_source(str(tmp_path)))
    assert frames[0].image.shape == (30, 20, 3)


def test_a_bad_photograph_is_a_fault_and_the_rest_is_read(tmp_path):
    for name in ("a.jpg", "c.jpg"):
        image_file(tmp_path / name)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:200])
    frames, faults = read_all(open_source(str(tmp_path)))
    assert [(frame.index, frame.name) for frame in frames] == [(0, "a.jpg"), (2, "c.jpg")]
    assert len(faults) == 1 and "b.jpg" in faults[0]


def test_a_video_gives_all_frames_in_order(tmp_path):
    source = open_source(str(write_video(tmp_path / "v.mp4", 30, rate=29.97)))
    frames, faults = read_all(source)
    assert (source.kind, source.total, source.rate) == ("video", 30, pytest.approx(29.97)) and not faults
    assert [frame.index for frame in frames] == list(range(30))
    assert np.abs([frame.image.mean() - 8 * frame.index for frame in frames]).max() < 4


def test_colours_of_a_video_are_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), (200, 40, 20), np.uint8))  # BGR: blue.
    writer.release()
    assert (
        np.abs(read_all(open_source(str(tmp_path / "v.avi")))[0][0].image[20, 20].astype(int) - (20, 40, 200)).max() < 8
    )


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "MJPG"), ("v.mkv", "FFV1")])
def test_a_video_that_ends_in_the_middle_is_a_fault(tmp_path, name, codec):
    whole = write_video(tmp_path / ("whole" + name), 60, codec=codec).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    frames, faults = read_all(open_source(str(tmp_path / name)))
    assert 10 < len(frames) < 50
    assert f"ends after {len(frames)} frames" in faults[-1]


def test_what_cannot_be_opened_is_an_error(tmp_path):
    whole = write_video(tmp_path / "whole.mp4", 20).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # Its index is at the end.
    write_video(tmp_path / "none.mp4", 0)
    write_video(tmp_path / "none.avi", 0, codec="MJPG")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("cut.mp4", "neither an image nor a video"),
        ("none.mp4", "neither an image nor a video|no frame"),
        ("none.avi", "neither an image nor a video|no frame"),
        ("text.mp4", "neither an image nor a video"),
        ("missing.mp4", "no such file"),
        ("empty", "no image in this folder"),
        ("*.jpg", "no file matches"),
    ):
        with pytest.raises(UserError, match=message):
            read_all(open_source(str(tmp_path / name)))


def test_cameras(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    source = open_source("0")
    assert (source.kind, source.total, source.rate) == ("camera", None, 30.0)
    frames, faults = read_all(source)
    assert len(frames) == 3 and "stopped after 3 frames" in faults[0]
    with pytest.raises(UserError, match="camera 7: cannot be opened"):
        open_source("7")


def test_a_stream_is_read_by_its_address_which_is_named_without_its_secrets(tmp_path):
    with served(write_video(tmp_path / "v.mkv", 12, codec="FFV1").read_bytes()) as address:
        source = open_source(address)
        frames, faults = read_all(source)
    assert (source.kind, source.is_live, source.paths, source.stem) == ("stream", True, [], "walk")
    assert [int(frame.image.mean()) for frame in frames] == [8 * index for index in range(12)] and not faults
    assert "secret" not in source.name + source.identity and "127.0.0.1" in source.name


def test_a_stream_that_breaks_off_is_a_fault(tmp_path):
    body = write_video(tmp_path / "v.mkv", 60, codec="FFV1").read_bytes()
    with served(body[: len(body) // 2], len(body)) as address:
        frames, faults = read_all(open_source(address))
    assert 10 < len(frames) < 50 and faults
    assert all("secret" not in fault and "walk.mkv" in fault for fault in faults)


def test_addresses_that_give_no_video():
    with served(b"no video") as address, pytest.raises(UserError, match="walk.mkv: this address gives no video") as no:
        open_source(address)
    assert "secret" not in str(no.value)
    with pytest.raises(UserError, match="http://127.0.0.1:9/x: this address gives no video"):
        open_source("http://127.0.0.1:9/x")


def test_a_file_may_be_given_by_its_address(tmp_path):
    path = write_video(tmp_path / "a b.mp4", 3)
    source = open_source(path.as_uri())
    assert source.kind == "video" and source.paths == [path] and len(read_all(source)[0]) == 3


def test_a_missing_camera_is_one_line(capfd):
    with pytest.raises(UserError, match="camera 77"):
        open_source("77")
    assert capfd.readouterr().err == ""


def test_image_ids_are_those_the_names_end_in():
    assert image_ids(["000000000139.jpg", "COCO_val2014_000000000285.jpg", "x/img7.png"]) == [139, 285, 7]
    assert image_ids(["a1.jpg", "b.jpg"]) is None and image_ids(["a/1.jpg", "b/1.jpg"]) is None


def test_pictures_keep_names_and_colours(tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0] = 200
    paths = [write_picture(tmp_path, name, image) for name in ("a.jpg", "x/b.png", "c.tif", "c.tif.png")[:3]]
    assert [str(path.relative_to(tmp_path)) for path in paths] == ["a.jpg", "x/b.png", "c.tif.png"]
    for path in paths:
        frames, _ = read_all(ImageFiles(path.parent, [path.name]))
        assert np.abs(frames[0].image.astype(int) - image).max() < 6


def test_without_a_display_show_is_an_error(monkeypatch):
    monkeypatch.setattr(media_output, "_PROBE", "raise SystemExit(1)")
    with pytest.raises(UserError, match="^show"):
        Window("poses")
