"""Reading photographs: always RGB, always whole, in the pixel frame the annotations are in."""

import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from keras_simplepose.media.orientation import (
    Frame,
    Orientation,
    OrientationCount,
    choose_frame,
    displayed_size,
    restore,
    turn,
)
from keras_simplepose.media.wholeness import (
    JPEG,
    PNG,
    has_zeros_for_codes,
    is_damage,
    is_truncated,
    jpeg_segments,
    png_pixels,
)
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import refuse_pipe

# Larger images are refused by what their headers say: a small file can ask for gigabytes. 134 million, 400 MB in RGB.
MAXIMUM_PIXELS = 1 << 27
# Names of images; content counts first, but a file of such a name that holds no image is a damaged one.
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .webp .tif .tiff .gif .avif .heic .heif .jp2 .ppm .pgm .pbm .pnm".split()
)
_GIF, _TIFF = b"GIF8", (b"II*\0", b"MM\0*")
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_HEAD_BYTES = 32
_HEIC_MISSING = "HEIC images need an extra; pip install 'keras_simplepose[heic]'"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself before it is decoded.

    Attributes:
        size: (height, width) of the stored pixels.
        exif: its EXIF orientation, 1 to 8; 1 where it has none.
    """

    size: tuple[int, int]
    exif: int = 1


def read_image(
    path: str | Path,
    expected_size: tuple[int, int] | None = None,
    orientation: Orientation = "stored",
    count: OrientationCount | None = None,
) -> np.ndarray:
    """Reads an image file, by its content whatever its name ends in.

    Grey images become RGB, CMYK is converted, 16 bits are cut to 8, a palette is looked up and an alpha channel
    dropped (its colours stay, unblended). Of an animation it is the first picture.

    Args:
        path: the file; whatever OpenCV or Pillow decodes, HEIC with the extra `heic`.
        expected_size: (height, width) the image must have, in the frame it is returned in.
        orientation: the frame: the pixels as stored, as COCO's annotations have them; as displayed, turned by the EXIF
            orientation; or auto: the one that fits `expected_size`, stored if both do.
        count: hears of every image with an EXIF orientation.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        UserError: the file is missing, empty, truncated, no image, too large, or of another size; the message names it.
    """
    return decode_image(_read(path), str(path), expected_size, orientation, count)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of an image file's stored pixels, in the frame of `read_image`.

    Raises:
        UserError: as `read_image`, as far as the size can be told without the pixels.
    """
    return image_header(path).size


def image_header(path: str | Path) -> ImageHeader:
    """Size of an image file's stored pixels and its EXIF orientation.

    Raises:
        UserError: as `read_image`, as far as they can be told without the pixels.
    """
    data = _read(path)
    return read_header(data, str(path)) or ImageHeader(decode_image(data, str(path)).shape[:2])


def is_picture(path: Path) -> bool:
    """Whether a file is a picture: by its content, or, where that says nothing, by its name.

    Pipes and devices are not opened.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        head = b""  # Reading it gives the fault a name.
    if head.startswith((JPEG, PNG, _GIF, *_TIFF)) or _is_heic(head) or path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    return bool(head) and _opens(path)


def decode_image(
    data: bytes,
    name: str,
    expected_size: tuple[int, int] | None = None,
    orientation: Orientation = "stored",
    count: OrientationCount | None = None,
) -> np.ndarray:
    """Decodes the bytes of an image file; `name` is what errors call it. The rest as `read_image`."""
    if not data:
        raise UserError(f"{name}: the file is empty")
    # Decoders fill what is missing with grey and say nothing, or print a warning of their own.
    if is_truncated(data):
        raise UserError(f"{name}: the image is truncated; fetch it anew")
    header = read_header(data, name)
    if header is None and (error := _unreadable(data)):
        raise UserError(f"{name}: {error}")
    exif = header.exif if header else 1
    frame: Frame = "stored"
    if header is not None:
        frame = choose_frame(header.size, exif, expected_size, orientation)
        _check_header(header, name, expected_size, frame)
    image = _decode(data, name)
    # Both libraries turn TIFF files whatever they are told; all others come as stored.
    is_turned = data.startswith(_TIFF) and exif != 1
    if is_turned and frame == "stored":
        image = restore(image, exif)
    elif not is_turned and frame == "displayed":
        image = turn(image, exif)
    _check_size(image.shape[:2], name, expected_size)
    if count is not None and exif != 1:
        count.add(name, exif, frame, expected_size is not None, image.shape[:2])
    return image


def read_header(data: bytes, name: str) -> ImageHeader | None:
    """Size and orientation without decoding; None where the header does not tell them.

    Raises:
        UserError: it is of more pixels than `MAXIMUM_PIXELS`.
    """
    header = None
    if data.startswith(PNG) and len(data) >= 24:
        has_exif = b"eXIf" in data or b"Raw profile type" in data
        header = ImageHeader((int.from_bytes(data[20:24]), int.from_bytes(data[16:20])), _exif(data, has_exif))
    elif data.startswith(JPEG):
        for marker, place in jpeg_segments(data):
            if marker in _START_OF_FRAME:
                size = int.from_bytes(data[place + 3 : place + 5]), int.from_bytes(data[place + 5 : place + 7])
                header = ImageHeader(size, _exif(data, b"Exif\0\0" in data))
                break
    else:
        try:
            header = _pillow_header(data)
        except Image.DecompressionBombError as error:
            raise UserError(f"{name}: the image has too many pixels; make it smaller") from error
    if header is not None and header.size[0] * header.size[1] > MAXIMUM_PIXELS:
        raise UserError(
            f"{name}: the image is {header.size[1]}×{header.size[0]}, more than {MAXIMUM_PIXELS / 1e6:.0f} million "
            "pixels; make it smaller"
        )
    return header


def _pillow_header(data: bytes) -> ImageHeader | None:
    try:
        with _open(data) as image:
            exif = image.getexif().get(_EXIF_ORIENTATION, 1)
            exif = exif if exif in range(1, 9) else 1
            size = image.size[::-1]
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None
    # Pillow states the size of a TIFF as it is displayed.
    return ImageHeader(displayed_size(size, exif) if data.startswith(_TIFF) else size, exif)


def _exif(data: bytes, has_exif: bool) -> int:
    """The EXIF orientation of bytes that may have one."""
    header = _pillow_header(data) if has_exif else None
    return header.exif if header else 1


def _open(source: bytes | Path) -> Image.Image:
    """Opens a file for Pillow, which knows HEIC where the extra is installed."""
    _register_heic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # About damaged EXIF data, and sizes, which are bounded here.
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _opens(path: Path) -> bool:
    try:
        with _open(path):
            return True
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return cv2.haveImageReader(str(path)) if str(path).isascii() else False


def _register_heic() -> bool:
    """Whether Pillow can read HEIC."""
    try:
        import pillow_heif  # An extra.
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _is_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def _unreadable(data: bytes) -> str:
    """Why a file without a readable header cannot be decoded; "" if it may be decoded all the same."""
    if _is_heic(data[:_HEAD_BYTES]) and not _register_heic():
        return _HEIC_MISSING
    return "" if data.startswith(JPEG) else "not an image, or a damaged one"


def _check_header(header: ImageHeader, name: str, expected_size: tuple[int, int] | None, frame: Frame) -> None:
    """Refuses an image of the wrong size before it is decoded.

    Raises:
        UserError: with the EXIF orientation, if that is the reason.
    """
    size = displayed_size(header.size, header.exif) if frame == "displayed" else header.size
    if expected_size is None or size == tuple(expected_size):
        return
    other = header.size if frame == "displayed" else displayed_size(header.size, header.exif)
    hint = ""
    if other == tuple(expected_size):
        hint = f" It has EXIF orientation {header.exif}, and its size fits as it is "
        hint += (
            "stored; orientation=stored reads it so"
            if frame == "displayed"
            else "displayed; orientation=displayed reads it so"
        )
    _check_size(size, name, expected_size, hint)


def _check_size(size: tuple[int, ...], name: str, expected_size: tuple[int, int] | None, hint: str = "") -> None:
    if expected_size is not None and tuple(size) != tuple(expected_size):
        (height, width), (wanted_height, wanted_width) = size, expected_size
        raise UserError(
            f"{name}: the image is {width}×{height}; its record says {wanted_width}×{wanted_height}"
            + (hint and f".{hint}")
        )


def _decode(data: bytes, name: str) -> np.ndarray:
    """The pixels [H, W, 3] uint8 RGB, as the decoders give them."""
    if data.startswith(PNG) and not (data := png_pixels(data)):
        raise UserError(f"{name}: the image is damaged; fetch it anew")
    if data.startswith(JPEG) and (image := _decode_jpeg(data, name)) is not None:
        return image
    try:
        # OpenCV's GIFs are turned by nothing and blended with nothing, but not in every build there.
        image = None
        if not data.startswith(_GIF):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise UserError(f"{name}: cannot be decoded ({error.err or error})") from error
    if image is not None:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    if data.startswith((JPEG, PNG)):
        raise UserError(f"{name}: not an image, or a damaged one")
    try:
        with _open(data) as opened:
            if opened.mode.startswith("I;16"):
                return np.repeat((np.asarray(opened) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            return np.array(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: not an image, or a damaged one") from error


def _decode_jpeg(data: bytes, name: str) -> np.ndarray | None:
    """A JPEG's pixels, those that OpenCV gives too; None where it takes OpenCV to decode it.

    OpenCV decodes what is damaged in the middle, greys and stripes, and only prints the library's warning.
    """
    if has_zeros_for_codes(data):
        raise UserError(f"{name}: the image is damaged (zeros in place of its data); fetch it anew")
    try:
        return simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except ValueError as error:
        fault = str(error)
    if is_damage(fault, data):
        raise UserError(f"{name}: the image is damaged ({fault[:80]}); fetch it anew")
    return None


def check_image_folder(folder: str | os.PathLike) -> None:
    """Refuses what is no folder, before any work on the images that are to be in it.

    Raises:
        UserError: naming it.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder of images")


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Codes an RGB image [H, W, 3] uint8 as JPEG, quality 1 to 100, colour at half resolution."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV could not code an image of shape {image.shape}")
    return data.tobytes()


def _read(path: str | Path) -> bytes:
    refuse_pipe(path)
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
