"""Pictures as people have them: told by content, bounded, and the rest counted."""

import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from media_files import image_file, read_all
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from keras_simplepose.media import images
from keras_simplepose.media.images import decode_image, is_picture, read_image
from keras_simplepose.media.output import write_picture
from keras_simplepose.media.source import describe_kinds, list_pictures, open_source
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.processes import WORKER_VARIABLE

RED = np.full((32, 48, 3), (210, 40, 30), np.uint8)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a.avif", "AVIF"), ("a.gif", "GIF"), ("a.jp2", "JPEG2000")]
    + [("a.ppm", "PPM"), ("a.webp", "WEBP"), ("a.tif", "TIFF"), ("a.bmp", "BMP"), ("a.bin", "PNG"), ("a", "TGA")],
)
def test_pictures_are_told_by_content(tmp_path, name, kind):
    Image.fromarray(RED).save(tmp_path / name, format=kind)
    source = open_source(str(tmp_path / name))
    frames, faults = read_all(source)
    assert source.kind == "images" and not faults
    assert frames[0].image.shape == RED.shape and np.abs(frames[0].image.astype(int) - RED).max() <= 8


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    first, second = Image.fromarray(RED), Image.fromarray(255 - RED)
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert np.abs(read_image(tmp_path / "a.gif").astype(int) - RED).max() <= 8


def test_what_is_passed_over_is_counted_by_kind(tmp_path):
    for name in ("a.png", "b.jfif"):
        Image.fromarray(RED).save(tmp_path / name, format="PNG")
    for name in ("a.txt", "b.TXT", "c.mp4", "README"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "damaged.jpg").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.jpg")
    source = open_source(str(tmp_path))
    assert source.names == ["a.png", "b.jfif", "damaged.jpg"]
    assert describe_kinds(source.passed_over) == "1 .jpg, 1 .mp4, 2 .txt, 1 without suffix"
    assert "damaged.jpg: the file is empty" in read_all(source)[1][0]
    assert [path.name for path in list_pictures(tmp_path)] == source.names
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.txt").write_text("no picture")
    with pytest.raises(UserError, match=r"no image in this folder \(1 \.txt\)"):
        open_source(str(tmp_path / "below"))


def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert not is_picture(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(UserError, match="a pipe or a device"):
            read_image(path)
        with pytest.raises(UserError, match="a pipe or a device"):
            open_source(str(path))


def enormous_png(side):
    """A PNG of one grey, a bit a pixel, as small as its size is large."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_images_are_bounded_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(images.cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    (tmp_path / "a.png").write_bytes(enormous_png(20_000))
    with pytest.raises(UserError, match="is 20000×20000, more than 134 million pixels"):
        read_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(enormous_png(10_000))
    with pytest.raises(UserError, match="is 10000×10000; its record says 64×64"):
        read_image(tmp_path / "b.png", (64, 64))
    Image.fromarray(RED).save(tmp_path / "c.bmp")
    data = bytearray((tmp_path / "c.bmp").read_bytes())
    data[18:26] = struct.pack("<ii", 50_000, 50_000)
    (tmp_path / "c.bmp").write_bytes(data)
    with pytest.raises(UserError, match="c.bmp: the image has too many pixels"):
        read_image(tmp_path / "c.bmp")


def test_heic_without_its_extra_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100))
    frames, faults = read_all(open_source(str(tmp_path)))
    assert not frames and "pip install 'keras_simplepose[heic]'" in faults[0]


def test_heic_with_its_extra(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(RED)).save(tmp_path / "a.heic", quality=95)
    assert np.abs(read_image(tmp_path / "a.heic").astype(int) - RED).max() <= 8


def damaged_notes(image):
    """Changes a byte of the first text in a PNG, so that the sum of that chunk is wrong."""
    place = image.index(b"tEXt") + 6
    return image[:place] + bytes([image[place] ^ 1]) + image[place + 1 :]


def test_notes_in_a_png_are_not_looked_at(tmp_path, capfd):
    text = PngInfo()
    text.add_text("a comment", "by some program")
    Image.fromarray(RED).save(tmp_path / "a.png", pnginfo=text, icc_profile=bytes(200))
    data = damaged_notes((tmp_path / "a.png").read_bytes())
    assert np.array_equal(decode_image(data, "a.png"), RED) and capfd.readouterr() == ("", "")
    place = data.index(b"IDAT") + 10
    with pytest.raises(UserError, match="b.png: the image is damaged"):
        decode_image(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], "b.png")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "animation"])
def test_every_kind_of_png_is_what_opencv_makes_of_the_whole_file(tmp_path, mode):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8))
    options = {"transparency": bytes(range(0, 256, 16))} if mode == "P" else {}
    if mode == "animation":
        options = {"save_all": True, "append_images": [noise.rotate(180)]}
    elif mode == "I;16":
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 65535, (20, 30), np.uint16))
    else:
        noise = noise.quantize(16) if mode == "P" else noise.convert(mode)
    noise.save(tmp_path / "a.png", **options)
    ours = read_image(tmp_path / "a.png")
    assert np.array_equal(ours[..., ::-1], cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_COLOR))


def test_the_commands_screen_is_free_of_the_libraries_notes(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[65000], tags[65000] = 2, "a tag of some camera's"
    Image.fromarray(RED).save(tmp_path / "a.tif", tiffinfo=tags)
    code = "import sys; sys.argv = ['-m']; import keras_simplepose; sys.argv = ['']\n"
    code += "from keras_simplepose.media.images import read_image; print(read_image(sys.stdin.readline()).shape)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=str(tmp_path / "a.tif"),
        # Without TensorFlow.
        env={name: value for name, value in os.environ.items() if name != "OPENCV_LOG_LEVEL"} | {WORKER_VARIABLE: "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "(32, 48, 3)\n" and ran.stderr == ""


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_writing_prints_nothing(tmp_path, capfd, name):
    write_picture(tmp_path, name, RED)
    assert capfd.readouterr() == ("", "")


def test_names_need_not_be_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    path = image_file(tmp_path / name)
    frames, _ = read_all(open_source(str(path)))
    assert frames[0].name == name
    written = write_picture(tmp_path / "out", name, frames[0].image)
    assert os.fsencode(written.name) == b"caf\xe9.png" and read_image(written).shape == frames[0].image.shape
