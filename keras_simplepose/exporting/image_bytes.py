"""Bytes of a photograph to pixels, in TensorFlow operations: the part of inference that only a SavedModel has."""

from typing import Any

import tensorflow as tf

_EXIF_REACH = 1 << 17  # Bytes searched for EXIF data: the segment stands near the front and holds at most 64 KiB.
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_ORIENTATION_TAG = 0x0112
_MOST_ENTRIES = 512  # Of an EXIF directory; real ones have a few dozen.


def decode_photograph(image_bytes: Any, honour_orientation: bool = False) -> Any:
    """Decodes a JPEG, PNG, GIF (its first frame) or BMP.

    Args:
        image_bytes: [] string.
        honour_orientation: turns a JPEG as its EXIF data say.

    Returns:
        [H, W, 3] uint8 RGB. JPEGs are decoded by libjpeg's accurate transform, as OpenCV does.

    Raises:
        tf.errors.InvalidArgumentError: (when run) the bytes are no such image, or a truncated one.
    """
    image = tf.cond(
        tf.io.is_jpeg(image_bytes),
        lambda: tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(image_bytes, channels=3, expand_animations=False),
    )
    image = tf.ensure_shape(image, (None, None, 3))
    return orient(image, exif_orientation(image_bytes)) if honour_orientation else image


def orient(image: Any, orientation: Any) -> Any:
    """Turns and mirrors an image [H, W, 3] as an EXIF orientation, 1 to 8, says it is to be shown."""
    among = lambda *values: tf.reduce_any(orientation == tf.constant(values))  # noqa: E731
    image = tf.cond(among(5, 6, 7, 8), lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    image = tf.cond(among(2, 3, 6, 7), lambda: image[:, ::-1], lambda: image)
    return tf.cond(among(3, 4, 7, 8), lambda: image[::-1], lambda: image)


def exif_orientation(image_bytes: Any) -> Any:
    """The EXIF orientation of a JPEG's bytes, 1 to 8 as [] int32; 1 where it says none or anything else."""
    front = tf.strings.substr(image_bytes, 0, _EXIF_REACH)
    data = tf.cast(tf.io.decode_raw(front, tf.uint8), tf.int32)
    size = tf.size(data)
    data = tf.pad(data, [[0, 16]])

    def byte(offset: Any) -> Any:
        return tf.gather(data, tf.clip_by_value(offset, 0, size))

    def segment_follows(position: Any, found: Any) -> Any:
        more = (found < 0) & (position + 4 <= size)
        return more & (byte(position) == 0xFF) & (byte(position + 1) != _START_OF_SCAN)

    def next_segment(position: Any, found: Any) -> tuple[Any, Any]:
        name = byte(position + 4 + tf.range(6))
        exif = (byte(position + 1) == _APP1) & tf.reduce_all(name == tf.constant(list(b"Exif\0\0")))
        length = byte(position + 2) * 256 + byte(position + 3)
        return position + 2 + length, tf.where(exif, position + 10, -1)

    start = tf.where(tf.io.is_jpeg(image_bytes), 2, size)
    _, base = tf.while_loop(segment_follows, next_segment, (start, tf.constant(-1)))
    little_endian = byte(base) == ord("I")

    def number(offset: Any, count: int) -> Any:
        """An unsigned number of `count` bytes at each offset, in the file's order of bytes."""
        digits = [byte(offset + place) for place in range(count)]
        big = sum(digit * 256 ** (count - 1 - place) for place, digit in enumerate(digits))
        little = sum(digit * 256**place for place, digit in enumerate(digits))
        return tf.where(little_endian, little, big)

    directory = base + number(base + 4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), _MOST_ENTRIES))
    values = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == _ORIENTATION_TAG)
    orientation = tf.concat([values, [1]], axis=0)[0]
    return tf.where((base >= 0) & (orientation >= 1) & (orientation <= 8), orientation, 1)
