import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_simplepose.media.images import decode_image, encode_jpeg, image_size, read_image
from keras_simplepose.media.wholeness import jpeg_segments
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
        with pytest.raises(UserError, match=r"a\.jpg: the image is damaged \(zeros in place"):
            decode_image(damaged, "a.jpg")


def scan_of(jpeg):
    """Where the codes begin and end."""
    *_, (_, place), (_, end) = jpeg_segments(jpeg)
    return place + int.from_bytes(jpeg[place : place + 2]), end - 2


def damaged_jpeg(jpeg, kind, random, length=64):
    start, end = scan_of(jpeg)
    place = int(random.integers(start, end - length))
    if kind == "bit":
        return jpeg[:place] + bytes([jpeg[place] ^ 1 << random.integers(8)]) + jpeg[place + 1 :]
    other = {"zeros": bytes(length), "random": random.bytes(length), "cut": b""}[kind]
    return jpeg[:place] + other + jpeg[place + length :]


@pytest.mark.parametrize(("kind", "least"), [("zeros", 40), ("random", 18), ("cut", 25), ("bit", 3)])
def test_how_much_damage_is_found(kind, least):
    """Of 40 places; the figures of photographs stand in the documentation."""
    random = np.random.default_rng(0)
    jpegs = [encode_jpeg(cv2.GaussianBlur(textured(seed, (240, 320, 3)), (0, 0), 1.5), 80) for seed in range(4)]
    found = 0
    for number in range(40):
        try:
            decode_image(damaged_jpeg(jpegs[number % 4], kind, random), "a.jpg")
        except UserError as error:
            assert re.search("damaged|truncated", str(error))
            found += 1
    assert found >= least


def test_bytes_left_over_are_damage_where_they_are_codes():
    whole = encode_jpeg(textured(), 90)
    expected = decode_image(whole, "a.jpg")
    for stray in (bytes(16), b"\xff" * 16, b"\x5a", b"\x5a\x31", b"\xff\x00\xff"):  # As some cameras write them.
        np.testing.assert_array_equal(decode_image(whole[:-2] + stray + whole[-2:], "a.jpg"), expected)
    # libjpeg reads up to 7 bytes ahead and does not count them.
    for codes in (bytes(range(1, 15)), bytes(10) + b"\x5a" * 4, bytes(24)):
        with pytest.raises(UserError, match="extraneous bytes"):
            decode_image(whole[:-2] + codes + whole[-2:], "a.jpg")


def test_zeros_may_be_an_even_surface():
    even = np.full((512, 512, 3), 90, np.uint8)
    even[:8, :8] = textured(0, (8, 8, 3))
    optimized = cv2.imencode(".jpg", even, [cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1].tobytes()
    assert bytes(200) in optimized
    assert np.abs(decode_image(optimized, "a.jpg")[64:].astype(int) - 90).max() <= 1
    start, _ = scan_of(whole := encode_jpeg(textured(), 90))
    with pytest.raises(UserError, match="zeros in place of its data"):
        decode_image(whole[: start + 100] + bytes(64) + whole[start + 164 :], "a.jpg")
    comment = b"\xff\xfe" + (66).to_bytes(2) + bytes(64)  # Zeros that are no codes.
    np.testing.assert_array_equal(decode_image(whole[:2] + comment + whole[2:], "a"), decode_image(whole, "a"))


@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    quality=st.integers(1, 100),
    restarts=st.sampled_from([0, 1, 3]),
    options=st.lists(st.sampled_from([cv2.IMWRITE_JPEG_OPTIMIZE, cv2.IMWRITE_JPEG_PROGRESSIVE]), unique=True),
    sampling=st.sampled_from([0x411111, 0x221111, 0x211111, 0x111111]),
    surface=st.sampled_from(["noise", "even", "dots", "steps", "grey"]),
)
@settings(max_examples=150, deadline=None)
def test_healthy_jpegs_are_not_called_damaged(size, quality, restarts, options, sampling, surface):
    image = np.random.default_rng(quality).integers(0, 256, (*size, 3), np.uint8)
    if surface != "noise":
        image[:] = 200
    if surface == "dots":
        image[::8, ::8] = 0
    elif surface == "steps":
        image[size[0] // 2 :] = 0
    elif surface == "grey":
        image = image[..., 0]
    chosen = [value for option in options for value in (option, 1)]
    chosen += [cv2.IMWRITE_JPEG_RST_INTERVAL, restarts, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *chosen])[1].tobytes()
    assert decode_image(data, "a.jpg").shape == (*size, 3)
