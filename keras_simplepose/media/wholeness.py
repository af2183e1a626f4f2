"""Whether the file of an image is whole, told by its structure: decoders fill what is missing and say nothing."""

import re
import zlib
from collections.abc import Iterator

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# Inside the entropy-coded data a marker is FF and anything but 00 (a stuffed FF), D0 to D7 (restart) or FF (fill).
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END_OF_IMAGE, _TEMPORARY = 0xDA, 0xD9, 0x01


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
