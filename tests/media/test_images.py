import cv2
import numpy as np
import pytest
from PIL import Image

from keras_simplepose.media.images import decode_image, encode_jpeg, image_size, read_image
from keras_simplepose.utils.errors import UserError

# Three flat colours side by side, each wide enough to be free of the neighbours' ringing in its middle.
COLOURS = np.array([[200, 30, 60], [20, 180, 90], [240, 240, 250]], np.uint8)
PICTURE = np.repeat(COLOURS[None].repeat(32, 0), 16, axis=1)
MIDDLES = (slice(4, 28), [8, 24, 40])


def assert_colours(image, expected=COLOURS, tolerance=0):
    assert image.dtype == np.uint8 and image.shape == (32, 48, 3)
    difference = np.abs(image[MIDDLES].astype(int) - np.asarray(expected, int)[None])
    assert difference.max() <= tolerance


def write(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def test_jpeg_and_png_are_rgb(tmp_path):
    assert_colours(read_image(write(tmp_path / "a.png", PICTURE)))
    assert_colours(read_image(write(tmp_path / "a.jpg", PICTURE, quality=98)), tolerance=3)
    (tmp_path / "b.jpg").write_bytes(encode_jpeg(PICTURE, 98))
    assert_colours(read_image(tmp_path / "b.jpg"), tolerance=3)


def test_a_png_named_jpg_is_read(tmp_path):
    assert_colours(read_image(write(tmp_path / "a.jpg", PICTURE, format="PNG")))


def test_grey_becomes_rgb(tmp_path):
    grey = PICTURE[..., 1]
    expected = COLOURS[:, 1, None].repeat(3, 1)
    assert_colours(read_image(write(tmp_path / "a.png", grey)), expected)
    assert_colours(read_image(write(tmp_path / "a.jpg", grey, quality=98)), expected, 2)


@pytest.mark.parametrize("mode", ["CMYK", "YCCK"])
def test_cmyk_jpeg_is_converted(tmp_path, mode):
    path = tmp_path / "a.jpg"
    Image.fromarray(PICTURE).convert("CMYK").save(path, quality=98)
    data = bytearray(path.read_bytes())
    if mode == "YCCK":  # The Adobe segment's last byte tells how the four channels are to be understood.
        start = data.index(b"\xff\xee")
        data[start + 1 + int.from_bytes(data[start + 2 : start + 4])] = 2
        path.write_bytes(data)
    expected = np.asarray(Image.open(path).convert("RGB"))[8, [8, 24, 40]]
    assert_colours(read_image(path), expected, tolerance=3)


def test_depth_and_alpha_are_cut(tmp_path):
    deep = cv2.cvtColor(PICTURE, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    assert_colours(read_image(tmp_path / "deep.png"))
    cv2.imwrite(str(tmp_path / "both.png"), np.dstack([deep, np.full(deep.shape[:2], 30000, np.uint16)]))
    assert_colours(read_image(tmp_path / "both.png"))
    transparent = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    assert_colours(read_image(write(tmp_path / "alpha.png", transparent)))
    palette = Image.fromarray(PICTURE).quantize(8)
    palette.save(tmp_path / "palette.png")
    assert_colours(read_image(tmp_path / "palette.png"), tolerance=8)


def test_orientation_is_honoured_only_on_request(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn clockwise to look at.
    path = write(tmp_path / "a.jpg", PICTURE, exif=exif.tobytes(), quality=98)
    assert_colours(read_image(path, expected_size=(32, 48)), tolerance=3)
    turned = read_image(path, expected_size=(48, 32), orientation="displayed")
    assert_colours(np.rot90(turned), tolerance=3)


def test_the_size_is_checked(tmp_path):
    path = write(tmp_path / "a.png", PICTURE)
    assert read_image(path, expected_size=(32, 48)).shape == (32, 48, 3)
    with pytest.raises(UserError, match=r"a\.png: the image is 48×32; its record says 32×48"):
        read_image(path, expected_size=(48, 32))


@pytest.mark.parametrize(
    ("data", "fault"), [(b"", "empty"), (b"no picture at all", "not an image"), (None, "no such image")]
)
def test_what_is_no_image_is_refused(tmp_path, data, fault):
    path = tmp_path / "a.jpg"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=rf"a\.jpg.*{fault}"):
        read_image(path)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_image(tmp_path)


def textured(seed=0, shape=(120, 160, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.jpg", {}),
        ("progressive.jpg", {"progressive": True}),
        ("restart.jpg", {"restart_marker_blocks": 4}),
        ("thumbnail.jpg", {"thumbnail": True}),
        ("picture.png", {}),
    ],
)
def test_truncation_is_found_wherever_it_cuts(tmp_path, name, options):
    options = dict(options)
    if options.pop("thumbnail", False):  # A whole JPEG inside a segment must not pass for the end of the outer one.
        exif = b"Exif\0\0" + encode_jpeg(textured(1, (32, 32, 3)), 80)
        options["exif"] = exif
    path = write(tmp_path / name, textured(), **options)
    data = path.read_bytes()
    assert read_image(path).shape == (120, 160, 3)
    cuts = np.unique(np.linspace(4, len(data) - 1, 60).astype(int))
    for cut in [*cuts, len(data) - 2, len(data) - 3]:
        path.write_bytes(data[:cut])
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            read_image(path)
    # The common damage of a broken download: the right length, zeros at the end.
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    with pytest.raises(UserError):
        read_image(path)


def test_the_size_is_told_without_decoding(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in (
        ("a.png", {}),
        ("a.jpg", {"exif": exif.tobytes()}),
        ("b.jpg", {"progressive": True, "exif": b"Exif\0\0" + encode_jpeg(textured(1, (32, 32, 3)), 80)}),
        ("a.bmp", {}),
    ):
        assert image_size(write(tmp_path / name, textured(), **options)) == (120, 160)
    (tmp_path / "c.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:60])
    for name, fault in (("c.jpg", "truncated"), ("absent.jpg", "no such image")):
        with pytest.raises(UserError, match=fault):
            image_size(tmp_path / name)


def test_bytes_after_the_end_are_allowed(tmp_path):
    for name in ("a.jpg", "a.png"):
        path = write(tmp_path / name, textured())
        expected = read_image(path)
        path.write_bytes(path.read_bytes() + b"\0\0padding")
        np.testing.assert_array_equal(read_image(path), expected)


def test_real_images_match_their_records(shared_data):
    from keras_simplepose.core.skeletons import COCO17
    from keras_simplepose.data.coco import load_persons

    persons = load_persons(shared_data / "annotations" / "person_keypoints_val.json", COCO17)
    for image in list(persons.images.values())[:40]:
        read_image(shared_data / "images" / "val" / image.file_name, (image.height, image.width))


def test_a_jpeg_that_is_damaged_in_the_middle_is_refused(tmp_path):
    """Which OpenCV decodes, grey or striped from there on, and only prints a warning."""
    random = np.random.default_rng(0)
    whole = encode_jpeg(cv2.resize(random.integers(0, 256, (30, 40, 3), np.uint8), (640, 480)), 90)
    np.testing.assert_array_equal(
        decode_image(whole, "a.jpg"), cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    )
    middle = len(whole) // 2
    for length in (2000, len(whole) - middle - 2):
        damaged = whole[:middle] + bytes(length) + whole[middle + length :]
        assert cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_COLOR) is not None
        with pytest.raises(UserError, match=r"a\.jpg: the image is damaged \(Corrupt JPEG data"):
            decode_image(damaged, "a.jpg")
    stray = whole[:-2] + bytes(3) + whole[-2:]  # As some cameras write them.
    np.testing.assert_array_equal(decode_image(stray, "a.jpg"), decode_image(whole, "a.jpg"))
