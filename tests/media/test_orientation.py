import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_simplepose.media.images import read_header, read_image
from keras_simplepose.media.orientation import OrientationCount, restore, turn
from keras_simplepose.utils.errors import UserError

COLOURS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
PICTURE = COLOURS.repeat(16, 0).repeat(16, 1)  # [64, 96, 3], flat in the middle of each block.


def write(path, orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PICTURE).save(path, exif=exif, **options)
    return path


def blocks(image):
    return image[8::16, 8::16].astype(int)


@pytest.mark.parametrize("name", ["a.jpg", "a.tiff", "a.png", "a.webp", "a.avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_has_both_frames(tmp_path, name, orientation):
    quality = {} if name in ("a.tiff", "a.png") else {"quality": 95}
    path = write(tmp_path / name, orientation, **quality)
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    header = read_header(path.read_bytes(), name)
    assert (header.size, header.exif) == ((64, 96), orientation)
    stored, displayed = read_image(path), read_image(path, orientation="displayed")
    assert stored.shape == PICTURE.shape and np.abs(blocks(stored) - COLOURS).max() <= 6
    assert displayed.shape == shown.shape and np.abs(blocks(displayed) - blocks(shown)).max() <= 6
    np.testing.assert_array_equal(restore(turn(PICTURE, orientation), orientation), PICTURE)


def test_auto_takes_the_frame_of_the_records_size(tmp_path):
    path = write(tmp_path / "a.jpg", 6, quality=95)
    count = OrientationCount()
    assert read_image(path, (64, 96), "auto", count).shape == (64, 96, 3)
    assert read_image(path, (96, 64), "auto", count).shape == (96, 64, 3)
    with pytest.raises(UserError, match="is 96×64; its record says 10×10"):
        read_image(path, (10, 10), "auto")
    with pytest.raises(UserError, match="EXIF orientation 6.*orientation=displayed"):
        read_image(path, (96, 64), "stored")
    with pytest.raises(UserError, match="EXIF orientation 6.*orientation=stored"):
        read_image(path, (64, 96), "displayed")


def test_images_with_an_orientation_are_counted_once(tmp_path):
    count = OrientationCount()
    paths = [write(tmp_path / f"{value}.jpg", value, quality=95) for value in (1, 3, 6)]
    for _ in range(2):
        read_image(paths[0], (64, 96), "auto", count)
        read_image(paths[1], (64, 96), "auto", count)
        read_image(paths[2], (96, 64), "auto", count)
    warning = count.warning("auto")
    assert len(count) == 2 and warning.startswith("2 images carry an EXIF orientation: 1 as stored and 1 as displayed")
    assert "for 1 their records' sizes fit both" in warning and "orientation=displayed" in warning
    assert count.frame_of(str(paths[2])) == "displayed" and count.frame_of(str(paths[0])) is None
    assert OrientationCount().warning("auto") == ""
