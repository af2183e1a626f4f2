import io

import numpy as np
import pytest
import tensorflow as tf
from export_models import photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from keras_simplepose.exporting.image_bytes import decode_photograph, exif_orientation

orientation_of = tf.function(exif_orientation, input_signature=[tf.TensorSpec((), tf.string)])
upright = tf.function(lambda data: decode_photograph(data, True), input_signature=[tf.TensorSpec((), tf.string)])


def jpeg(orientation, byte_order="<", segments=b""):
    """A JPEG of 40×30 with an EXIF orientation, in either order of bytes, behind other segments."""
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F] = "a maker"
    if orientation is not None:
        exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(photograph((30, 40))).save(stream, "JPEG", quality=95, exif=exif)
    content = stream.getvalue()
    return content[:2] + segments + content[2:]


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_pillow_does(orientation, byte_order):
    content = jpeg(orientation, byte_order, segments=b"\xff\xfe\x00\x06note")
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert orientation_of(content) == orientation
    np.testing.assert_array_equal(upright(content), expected)


@pytest.mark.parametrize("content", [jpeg(None), jpeg(0), jpeg(9), b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\xff\xff"])
def test_without_a_valid_orientation_nothing_is_turned(content):
    assert orientation_of(content) == 1


def test_by_default_orientation_is_not_looked_at():
    assert decode_photograph(jpeg(6)).shape == (30, 40, 3)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 300), st.binary(max_size=12))
def test_damaged_exif_data_never_fail(place, damage):
    content = jpeg(6)
    content = content[:place] + damage + content[place + len(damage) :]
    assert 1 <= orientation_of(content) <= 8


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "RGB"])
def test_pngs_of_every_kind_become_rgb(mode):
    image = Image.fromarray(photograph((20, 30))).convert(mode)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    np.testing.assert_array_equal(decode_photograph(stream.getvalue()), np.asarray(image.convert("RGB")))
