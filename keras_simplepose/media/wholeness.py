"""Whether the file of an image is whole, told by its structure: decoders fill what is missing and say nothing."""

import re
import zlib
from collections.abc import Iterator

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Inside the entropy-coded data a marker is FF and anything but 00 (a stuffed FF), D0 to D7 (restart) or FF (fill).
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END_OF_IMAGE, _TEMPORARY = 0xDA, 0xD9, 0x01
_BASELINE, _HUFFMAN_TABLES = 0xC0, 0xC4
_ZEROS = bytes(64)  # Several blocks' worth. The longest run in 2,100 photographs with such codes is of 6.
# What libjpeg says of damaged pixels. Before a marker some cameras leave a byte or two, or fill up with 00 or FF.
_DAMAGES = (
    *("Corrupt JPEG data", "Premature end of JPEG", "Invalid JPEG file structure", "Unsupported marker", "Bogus "),
    "Unsupported JPEG process",
)
_SURPLUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_STRAY_BYTES, _LONGEST_FILLING, _FILLINGS = 2, 16, b"\x00\xff"


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; bytes after the end are allowed."""
    if data.startswith(JPEG):
        return not _jpeg_is_whole(data)
    if data.startswith(PNG):
        return not _png_is_whole(data)
    return False


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether segment after segment leads over a scan to the end marker.

    Looking for the marker alone would not do: the thumbnail inside an EXIF segment has one as well.
    """
    markers = [marker for marker, _ in jpeg_segments(data)]
    return _START_OF_SCAN in markers and markers[-1] == _END_OF_IMAGE


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
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


def is_damage(warning: str, data: bytes) -> bool:
    """Whether libjpeg's first warning about a JPEG means that pixels are not what they were.

    A decoder that has lost its place finds it again within a few codes, but often some blocks early or late: at the end
    of the image it wants for data, or has some left. Those are codes, not filling.
    """
    if not warning.startswith(_DAMAGES):
        return False
    surplus = _SURPLUS.search(warning)
    if surplus is None:
        return True
    count = int(surplus[1])
    end = next(place for marker, place in jpeg_segments(data) if marker == _END_OF_IMAGE) - 2
    return count > _STRAY_BYTES and (count > _LONGEST_FILLING or bool(data[end - count : end].strip(_FILLINGS)))


def has_zeros_for_codes(data: bytes) -> bool:
    """Whether a JPEG's pixels are coded by zeros over a length where no picture's are: a hole in the file.

    Where the brightness's code of zeros stands for one coefficient without a zero before it, a run of zeros says that
    block after block has 63 coefficients, all of them the same. No picture has two such blocks; libjpeg takes them.
    Where that code ends a block, zeros may be an even surface, so that nothing is said of it. Only of baseline JPEGs
    with one scan, as nearly all are.
    """
    if _ZEROS not in data:
        return False
    segments = list(jpeg_segments(data))
    markers = [marker for marker, _ in segments]
    if _BASELINE not in markers or markers.count(_START_OF_SCAN) != 1:
        return False
    scan = next(place for marker, place in segments if marker == _START_OF_SCAN)
    if data.find(_ZEROS, scan) < 0:
        return False
    tables = {}
    for _, place in (segment for segment in segments if segment[0] == _HUFFMAN_TABLES):
        end, place = place + int.from_bytes(data[place : place + 2]), place + 2
        while place + 17 < end:  # Class and number, how many codes have 1 to 16 bits, and what they stand for.
            tables[data[place]], place = data[place + 17], place + 17 + sum(data[place + 1 : place + 17])
    # The first component's tables, the AC one in the lower half; its class is 1.
    shortest = tables.get(0x10 | data[scan + 4] & 0x0F, 0)
    return 0 < shortest < 0x10


def _png_is_whole(data: bytes) -> bool:
    """Whether chunk after chunk leads to IEND."""
    return any(kind == b"IEND" and end <= len(data) for kind, _, end in _png_chunks(data))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of every chunk, the last of which may be cut off (ISO/IEC 15948)."""
    position = len(PNG)
    while position + 12 <= len(data):
        kind = data[position + 4 : position + 8]
        start, position = position, position + 12 + int.from_bytes(data[position : position + 4])
        yield kind, start, position
        if kind == b"IEND":
            return


def png_pixels(data: bytes) -> bytes:
    """A PNG of the chunks that its pixels come from: about faults in others libpng prints notes of its own.

    Returns:
        the file, or b"" where the sum of a chunk that counts is wrong.
    """
    kept = [PNG]
    for kind, start, end in _png_chunks(data):
        if kind[:1].islower() and kind != b"tRNS":  # Ancillary: texts, times, profiles, animations.
            continue
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return b""
        kept.append(data[start:end])
    return b"".join(kept)
