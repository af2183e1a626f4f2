"""Videos at their own times."""

import os
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from media_files import read_all

from keras_simplepose.media.source import open_source
from keras_simplepose.media.video import VideoFile
from keras_simplepose.utils.errors import UserError

CONTAINERS = [("v.mp4", "libx264"), ("v.mov", "libx264"), ("v.mkv", "libx264"), ("v.webm", "libvpx-vp9")] + [
    ("v.ts", "libx264"),
    ("v.avi", "mpeg4"),
]


def make_video(path, codec="libx264", times=None, size=(48, 64), options=None):
    """Frame i is grey 4·i with a red block in its corner; times in hundredths of a second, else 25 frames a second."""
    base = Fraction(1, 25) if times is None else Fraction(1, 100)
    times = range(60) if times is None else times
    with av.open(os.fsencode(path) if not str(path).isascii() else str(path), "w", container_options=options) as file:
        stream = file.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = base
        for index, time in enumerate(times):
            image = np.full((*size, 3), 4 * index % 256, np.uint8)
            image[: size[0] // 4, : size[1] // 4] = (250, 0, 0)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def greys(frames):
    return np.array([frame.image[30:].mean() for frame in frames])


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_containers_give_every_frame_its_time(tmp_path, name, codec):
    source = open_source(str(make_video(tmp_path / name, codec)))
    frames, faults = read_all(source)
    assert not faults and len(frames) == 60 and source.rate == pytest.approx(25)
    assert [frame.seconds for frame in frames] == pytest.approx(np.arange(60) / 25, abs=1e-3)
    assert np.abs(greys(frames) - 4 * np.arange(60)).max() < 6


@pytest.mark.parametrize("name", ["v.webm", "v.mkv", "v.mp4"])
def test_variable_rates_are_whole_and_keep_their_times(tmp_path, name):
    times = [0, 4, 8, 12, 130, 134, 138, 260, 264, 300]
    codec = "libvpx-vp9" if name == "v.webm" else "libx264"
    frames, faults = read_all(open_source(str(make_video(tmp_path / name, codec, times))))
    assert not faults and [frame.seconds for frame in frames] == pytest.approx(np.array(times) / 100, abs=1e-3)
    with VideoFile(tmp_path / "drawn.mp4", 25) as video:
        for frame in frames:
            video.write(frame.image, frame.seconds)
    drawn, faults = read_all(open_source(str(tmp_path / "drawn.mp4")))
    assert not faults and [frame.seconds for frame in drawn] == pytest.approx(np.array(times) / 100, abs=1e-3)
    assert np.abs(greys(drawn) - greys(frames)).max() < 6


@pytest.mark.parametrize("rate", [12.0, 29.97, 60.0, 119.3333, 239.7345])
@pytest.mark.parametrize("size", [(48, 64), (49, 63), (48, 63), (49, 64)])
def test_a_written_video_keeps_rate_and_size(tmp_path, rate, size):
    with VideoFile(tmp_path / "out.mp4", rate) as video:
        for index in range(20):
            video.write(np.full((*size, 3), 5 * index, np.uint8))
        assert not (tmp_path / "out.mp4").exists()
    source = open_source(str(tmp_path / "out.mp4"))
    frames, faults = read_all(source)
    assert not faults and len(frames) == 20 and source.rate == pytest.approx(rate, 1e-3)
    assert [frame.seconds for frame in frames] == pytest.approx(np.arange(20) / rate, abs=1e-4)
    assert all(frame.image.shape == (*size, 3) for frame in frames)
    assert np.abs([frame.image.mean() - 5 * frame.index for frame in frames]).max() < 4


def turned(path, matrix):
    """Writes a display matrix into the track header of an .mp4."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    data[start : start + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("angle", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_metadata_turn_a_video_as_players_show_it(tmp_path, angle, corner):
    """Angles are clockwise; the red block goes from the upper left corner to another."""
    one = 1 << 16
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[angle]
    matrix = [cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30]
    frames, faults = read_all(open_source(str(turned(make_video(tmp_path / "v.mp4"), matrix))))
    assert not faults and frames[0].image.shape == ((64, 48, 3) if angle % 180 else (48, 64, 3))
    corners = {
        place: frames[0].image[2 if place[0] == 0 else -3, 2 if place[1] == 0 else -3]
        for place in [(0, 0), (0, -1), (-1, 0), (-1, -1)]
    }
    assert max(corners, key=lambda place: int(corners[place][0])) == corner
    capture = cv2.VideoCapture(str(tmp_path / "v.mp4"))
    np.testing.assert_allclose(capture.read()[1][..., ::-1], frames[0].image, atol=40)
    capture.release()


def test_a_cut_by_an_edit_list_is_whole(tmp_path):
    """Copied streams begin at a key frame before the cut; an edit list hides what comes before it."""
    make_video(tmp_path / "v.mp4")
    options = {"avoid_negative_ts": "disabled"}
    with (
        av.open(str(tmp_path / "v.mp4")) as whole,
        av.open(str(tmp_path / "cut.mp4"), "w", container_options=options) as cut,
    ):
        stream = whole.streams.video[0]
        copy = cut.add_stream_from_template(stream)
        offset = int(15 / 25 / stream.time_base)
        for packet in whole.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, copy
                cut.mux(packet)
    source = open_source(str(tmp_path / "cut.mp4"))
    frames, faults = read_all(source)
    assert source.total == 60 and len(frames) == 45 and not faults
    assert frames[0].seconds == 0 and greys(frames)[0] == pytest.approx(60, abs=4)


@pytest.mark.parametrize(("name", "codec"), [("v.mkv", "libx264"), ("v.webm", "libvpx-vp9"), ("v.mp4", "libx264")])
def test_a_broken_tail_is_a_fault_and_the_rest_is_read(tmp_path, name, codec):
    options = {"movflags": "+faststart"} if name == "v.mp4" else None
    path = make_video(tmp_path / name, codec, options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    frames, faults = read_all(open_source(str(path)))
    assert 0 < len(frames) < 55
    assert f"ends after {len(frames)} frames" in faults[-1] and "damaged or cut off" in faults[-1]


def test_text_and_sound_are_no_videos(tmp_path):
    (tmp_path / "notes.txt").write_text("hello\n" * 100)  # FFmpeg would draw it.
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nother.ts\n")
    with av.open(str(tmp_path / "sound.wav"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))
    for name in ("notes.txt", "list.m3u8", "sound.wav"):
        with pytest.raises(UserError, match="neither an image nor a video"):
            open_source(str(tmp_path / name))


def test_names_may_be_anything(tmp_path):
    for name in (os.fsdecode(b"caf\xe9.mp4"), "http:a b.mp4"):
        plain = make_video(tmp_path / "plain.mp4")
        plain.rename(tmp_path / name)
        frames, _ = read_all(open_source(str(tmp_path / name)))
        with VideoFile(tmp_path / ("drawn " + name), 25) as video:
            video.write(frames[0].image)
        assert (tmp_path / ("drawn " + name)).exists()


def test_a_video_given_up_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="stop"), VideoFile(tmp_path / "out.mp4", 10.0) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
        raise ValueError("stop")
    with VideoFile(tmp_path / "none.mp4", 10.0) as video:
        assert not video.close()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(UserError, match="frame rate is unknown"), VideoFile(tmp_path / "a.mp4", float("nan")) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(UserError, match="a frame is"), VideoFile(tmp_path / "b.mp4", 10.0) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
        video.write(np.zeros((50, 64, 3), np.uint8))


def test_real_files_of_variable_rate_are_whole(shared_data):
    for name, count, end in (("drop8.webm", 551, 19.933), ("burst.mkv", 150, 16.967)):
        frames, faults = read_all(open_source(str(shared_data / "odd_files" / name)))
        assert not faults and len(frames) == count and frames[-1].seconds == pytest.approx(end, abs=1e-3)
