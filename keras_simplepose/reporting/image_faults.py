"""Image files that are missing, damaged, turned, of another size, or there twice."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keras_simplepose.media.images import decode_image, read_header
from keras_simplepose.reporting.findings import Finding
from keras_simplepose.utils.errors import UserError

HASH_SIDE = 16  # 256 bits.
ALIKE = 12  # Bits in which the hashes of two codings of one photograph may differ.
FLAT = 20  # Bits set, or not, below which a picture has too little in it to be told from others.


def look_hash(image: np.ndarray) -> np.ndarray:
    """How an image [H, W, 3] looks: whether each of 16×16 places is darker than its right neighbour; 32 bytes."""
    small = cv2.resize(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA
    )
    return np.packbits(small[:, :-1] < small[:, 1:])


def image_faults(
    records: Iterable[Mapping[str, Any]], folder: Path, hashes: dict[str, np.ndarray]
) -> Iterator[Finding]:
    """Yields the faults of image files, each read once; their hashes, by name, are put into `hashes`."""
    for record in records:
        name, number = record["file_name"], record["id"]
        path = folder / name
        try:
            data = path.read_bytes()
        except OSError:
            yield Finding("missing image", name, image_id=number)
            continue
        try:
            header = read_header(data, name)
            image = decode_image(data, name)
        except UserError as error:
            yield Finding("unreadable image", str(error), image_id=number)
            continue
        if header is not None and header.exif != 1:
            yield Finding("EXIF orientation", f"{name}: {header.exif}", image_id=number)
        size = record.get("height"), record.get("width")
        if None not in size and size != image.shape[:2]:
            height, width = image.shape[:2]
            yield Finding("wrong size", f"{name}: {width}×{height}, record {size[1]}×{size[0]}", image_id=number)
        hashes[name] = look_hash(image)


def alike(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray] | None = None) -> list[tuple[str, str]]:
    """Pairs of names whose pictures look the same, within one set or between two."""
    pairs = set()
    others = first if second is None else second
    for part in range(0, 32, 2):  # Two that differ in at most 12 bits share one of 16 parts.
        buckets: dict[bytes, list[str]] = {}
        for name, value in others.items():
            if _has_content(value):
                buckets.setdefault(value[part : part + 2].tobytes(), []).append(name)
        for name, value in first.items():
            if not _has_content(value):
                continue
            for other in buckets.get(value[part : part + 2].tobytes(), ()):
                if second is None and other <= name:
                    continue
                if np.bitwise_count(value ^ others[other]).sum() <= ALIKE:
                    pairs.add((name, other))
    return sorted(pairs)


def _has_content(value: np.ndarray) -> bool:
    return FLAT <= int(np.bitwise_count(value).sum()) <= 256 - FLAT
