"""Reading photographs: always RGB, always whole, in the pixel frame the annotations are in."""

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from keras_simplepose.utils.errors import UserError

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Inside the entropy-coded data a marker is FF and anything but 00 (a stuffed FF), D0 to D7 (restart) or FF (fill).
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END_OF_IMAGE, _TEMPORARY = 0xDA, 0xD9, 0x01
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_image(
    path: str | Path, expected_size: tuple[int, int] | None = None, honour_orientation: bool = False
) -> np.ndarray:
    """Reads an image file, by its content whatever its name ends in.

    Grey images become RGB, CMYK is converted, 16 bits are cut to 8, a palette is looked up and an alpha channel
    dropped (its colours stay, unblended).

    Args:
        path: the file; JPEG, PNG and whatever else OpenCV decodes.
        expected_size: (height, width) the image must have.
        honour_orientation: turns the image as its EXIF data say. Off by default: COCO's annotations are in the frame
            of the stored pixels.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        UserError: the file is missing, empty, truncated, no image, or of another size; the message names it.
    """
    data = _read(path)
    return decode_image(data, str(path), expected_size, honour_orientation)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of an image file's stored pixels, in the frame of `read_image`.

    Raises:
        UserError: as `read_image`, as far as the size can be told without the pixels.
    """
    data = _read(path)
    if data.startswith(_PNG) and len(data) >= 24:
        return int.from_bytes(data[20:24]), int.from_bytes(data[16:20])
    for marker, position in _jpeg_segments(data) if data.startswith(_JPEG) else ():
        if marker in _START_OF_FRAME:
            return int.from_bytes(data[position + 3 : position + 5]), int.from_bytes(data[position + 5 : position + 7])
    return decode_image(data, str(path)).shape[:2]


def decode_image(
    data: bytes, name: str, expected_size: tuple[int, int] | None = None, honour_orientation: bool = False
) -> np.ndarray:
    """Decodes the bytes of an image file; `name` is what errors call it. The rest as `read_image`."""
    if not data:
        raise UserError(f"{name}: the file is empty")
    # Decoders fill what is missing with grey and say nothing, or print a warning of their own.
    if _is_truncated(data):
        raise UserError(f"{name}: the image is truncated; fetch it anew")
    orientation = 0 if honour_orientation else cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | orientation)
    except cv2.error as error:
        raise UserError(f"{name}: cannot be decoded ({error.err or error})") from error
    if image is None:
        raise UserError(f"{name}: not an image, or a damaged one")
    if expected_size is not None and image.shape[:2] != tuple(expected_size):
        (height, width), (wanted_height, wanted_width) = image.shape[:2], expected_size
        raise UserError(f"{name}: the image is {width}×{height}; its record says {wanted_width}×{wanted_height}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Codes an RGB image [H, W, 3] uint8 as JPEG, quality 1 to 100, colour at half resolution."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV could not code an image of shape {image.shape}")
    return data.tobytes()


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; bytes after the end are allowed."""
    if data.startswith(_JPEG):
        return not _jpeg_is_whole(data)
    if data.startswith(_PNG):
        return not _png_is_whole(data)
    return False


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether segment after segment leads over a scan to the end marker.

    Looking for the marker alone would not do: the thumbnail inside an EXIF segment has one as well.
    """
    markers = [marker for marker, _ in _jpeg_segments(data)]
    return _START_OF_SCAN in markers and markers[-1] == _END_OF_IMAGE


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and position of the length of every segment that is whole, to the end marker (ITU-T T.81, annex B)."""
    position = 2
    while (match := _JPEG_MARKER.search(data, position)) is not None:
        marker, position = match.group(1)[0], match.end()
        if marker in (_END_OF_IMAGE, _TEMPORARY):  # The only ones without a length, beside restarts.
            yield marker, position
            if marker == _END_OF_IMAGE:
                return
            continue
        length = int.from_bytes(data[position : position + 2])
        if length < 2 or position + length > len(data):
            return
        yield marker, position
        position += length


def _png_is_whole(data: bytes) -> bool:
    """Whether chunk after chunk leads to IEND."""
    position = len(_PNG)
    while position + 12 <= len(data):
        kind = data[position + 4 : position + 8]
        position += 12 + int.from_bytes(data[position : position + 4])
        if kind == b"IEND":
            return position <= len(data)
    return False
