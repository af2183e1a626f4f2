"""Where pictures come from: a photograph, a folder or glob of them, a video, a camera."""

import contextlib
import glob
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from keras_simplepose.media.images import read_image
from keras_simplepose.utils.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
CAMERA_RATE = 30.0  # Frames per second of a camera whose driver does not say.
# Some containers state no number of frames, and OpenCV works it out from the duration: that far it may be wrong.
COUNT_TOLERANCE = 0.01
_LEAST_TOLERANCE = 2

OnFault = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a source.

    Attributes:
        index: its place in the source, from 0; pictures that cannot be read take one too.
        name: path below the folder of the source's images, or "frame 7" of a video.
        image: [H, W, 3] uint8 RGB.
    """

    index: int
    name: str
    image: np.ndarray


@dataclass(frozen=True)
class ImageFiles:
    """Photographs.

    Attributes:
        root: folder that all of them are in.
        names: their paths below it.
    """

    root: Path
    names: Sequence[str]
    kind: Literal["images"] = "images"

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.names)

    def frames(self, on_fault: OnFault) -> Iterator[Frame]:
        """Reads one after the other, turned as its EXIF data say; `on_fault` hears of each that cannot be read."""
        for index, name in enumerate(self.names):
            try:
                image = read_image(self.root / name, honour_orientation=True)
            except UserError as error:
                on_fault(str(error))
                continue
            yield Frame(index, name, image)


@dataclass(frozen=True)
class Video:
    """A video file or a camera.

    Attributes:
        source: the file's path, or the camera's number.
        kind: which of the two.
        total: its number of frames as far as it is known, else None.
        rate: frames per second; NaN if the file does not say.
    """

    source: str | int
    kind: Literal["video", "camera"]
    total: int | None
    rate: float

    @property
    def name(self) -> str:
        """What to call it in messages and file names."""
        return str(self.source) if self.kind == "video" else f"camera {self.source}"

    def frames(self, on_fault: OnFault) -> Iterator[Frame]:
        """Reads frame after frame.

        Raises:
            UserError: there is not a single frame. A video that ends before its time is told to `on_fault`.
        """
        capture, index = _open_capture(self.source), 0
        try:
            while True:
                done, image = capture.read()
                if not done:
                    break
                if image.ndim == 2:
                    image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
                yield Frame(index, f"frame {index}", cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image))
                index += 1
        finally:
            capture.release()
        if index == 0:
            raise UserError(f"{self.name}: gives no frame; it is empty, damaged, or coded in a way OpenCV cannot read")
        if self.kind == "camera":
            on_fault(f"{self.name}: stopped after {index} frames; it was unplugged, or another program took it")
        elif self.total and index < self.total - max(_LEAST_TOLERANCE, COUNT_TOLERANCE * self.total):
            on_fault(f"{self.name}: ends after {index} of {self.total} frames; the file is damaged or cut off")


Source = ImageFiles | Video


def open_source(text: str) -> Source:
    """The source that `--input` names.

    Args:
        text: a file, a folder, a glob, or a camera's number.

    Raises:
        UserError: there is no such thing, no image in the folder or under the glob, or the video or camera cannot be
            opened.
    """
    path = Path(text)
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if _is_image(entry) and not entry.name.startswith("."))
        if not names:
            raise UserError(f"{path}: no image in this folder (looked for {', '.join(IMAGE_SUFFIXES)})")
        return ImageFiles(path, names)
    if path.is_file():
        return ImageFiles(path.parent, [path.name]) if _is_image(path) else _open_video(text)
    if text.isdecimal():
        return _open_video(int(text))
    if glob.has_magic(text):
        found = sorted(Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file())
        if not found:
            raise UserError(f"{text}: no file matches")
        root = Path(os.path.commonpath([name.parent for name in found]))
        return ImageFiles(root, [str(name.relative_to(root)) for name in found])
    raise UserError(f"{text}: no such file or folder")


def image_ids(names: Sequence[str]) -> list[int] | None:
    """The image ids that file names state, as COCO's do (000000000139.jpg); None unless all do, each its own."""
    found = [re.search(r"(\d+)$", Path(name).stem) for name in names]
    ids = [int(match.group(1)) for match in found if match]
    return ids if len(set(ids)) == len(names) else None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _open_video(source: str | int) -> Video:
    capture = _open_capture(source)
    try:
        count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    rate = rate if math.isfinite(rate) and rate > 0 else math.nan
    if isinstance(source, int):
        return Video(source, "camera", None, CAMERA_RATE if math.isnan(rate) else rate)
    return Video(source, "video", int(count) if count > 0 else None, rate)


def _open_capture(source: str | int) -> cv2.VideoCapture:
    """Opens a video or camera; what OpenCV and FFmpeg print about a failure is replaced by one line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with _quiet_opencv():
        capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        if isinstance(source, int):
            raise UserError(f"camera {source}: cannot be opened; is it there, and not in use by another program?")
        raise UserError(f"{source}: neither an image nor a video that OpenCV can open")
    return capture


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
