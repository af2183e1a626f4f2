"""Where pictures come from: a photograph, a folder or glob of them, a video, a camera, a stream."""

import contextlib
import glob
import math
import os
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from keras_simplepose.media.images import is_picture, read_image
from keras_simplepose.media.orientation import Orientation, OrientationCount
from keras_simplepose.media.video import VideoReader, is_address, shown_address
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import refuse_pipe

CAMERA_RATE = 30.0  # Frames per second of a camera whose driver does not say.

OnFault = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a source.

    Attributes:
        index: its place in the source, from 0; pictures that cannot be read take one too.
        name: path below the folder of the source's images, or "frame 7" of a video.
        image: [H, W, 3] uint8 RGB.
        seconds: since the first frame of a video or camera; NaN of a photograph.
    """

    index: int
    name: str
    image: np.ndarray
    seconds: float = math.nan


@dataclass(frozen=True)
class FrameHint:
    """What a box file says about the frame of an image, as boxes are in the one or the other.

    Attributes:
        size: (height, width) that its record states, if any.
        orientation: the frame, if the file names it.
    """

    size: tuple[int, int] | None = None
    orientation: Literal["stored", "displayed"] | None = None


@dataclass(frozen=True)
class ImageFiles:
    """Photographs.

    Attributes:
        root: folder that all of them are in.
        names: their paths below it.
        given: what the user gave for them; they are told apart from others by it.
        passed_over: how many files that are no pictures were left out, by suffix.
        orientation: the frame to read them in; auto: as the hints say, else as displayed.
        hints: of a box file, by place in `names`.
        orientations: counts the images that carry an EXIF orientation.
    """

    root: Path
    names: Sequence[str]
    given: str = ""
    kind: Literal["images"] = "images"
    passed_over: Mapping[str, int] = field(default_factory=dict)
    orientation: Orientation = "auto"
    hints: Mapping[int, FrameHint] | None = None
    orientations: OrientationCount = field(default_factory=OrientationCount, compare=False)

    @property
    def is_live(self) -> bool:
        """False: files stay."""
        return False

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.names)

    @property
    def identity(self) -> str:
        """What results made of them are said to be of."""
        return os.path.abspath(self.given or self.root)

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [self.root / name for name in self.names]

    def with_hints(self, hints: Mapping[int, FrameHint]) -> "ImageFiles":
        """The same images, read in the frames that boxes are in; as stored, as COCO's are, where nothing says."""
        return replace(self, hints=hints)

    def frames(self, on_fault: OnFault) -> Generator[Frame, None, None]:
        """Reads one after the other; `on_fault` hears of each that cannot be read."""
        for index, name in enumerate(self.names):
            hint = FrameHint() if self.hints is None else self.hints.get(index, FrameHint())
            orientation = self.orientation
            if orientation == "auto":
                orientation = hint.orientation or ("displayed" if self.hints is None else "auto")
            try:
                image = read_image(self.root / name, hint.size, orientation, self.orientations)
            except UserError as error:
                on_fault(str(error))
                continue
            yield Frame(index, name, image)


@dataclass(frozen=True)
class Video:
    """A video file, a camera or a stream.

    Attributes:
        source: the file's path, the camera's number, or the stream's address.
        kind: which of them.
        total: its number of frames as far as it is known, else None; cut files state more than they show.
        rate: frames per second, on the average.
    """

    source: str | int
    kind: Literal["video", "camera", "stream"]
    total: int | None
    rate: float

    @property
    def name(self) -> str:
        """What to call it in messages and file names."""
        if self.kind == "stream":
            return shown_address(str(self.source))
        return str(self.source) if self.kind == "video" else f"camera {self.source}"

    @property
    def stem(self) -> str:
        """The name of a file made of it, without suffix."""
        stem = Path(self.name).stem
        return re.sub(r"[^\w.-]+", "_", stem) if self.kind == "stream" else stem

    @property
    def is_live(self) -> bool:
        """Whether it may have no other end than an interrupt, and its pictures are wanted at once."""
        return self.kind != "video"

    @property
    def identity(self) -> str:
        """What results made of it are said to be of."""
        return os.path.abspath(self.name) if self.kind == "video" else self.name

    @property
    def paths(self) -> list[Path]:
        """The file, if it is one."""
        return [Path(self.name)] if self.kind == "video" else []

    def frames(self, on_fault: OnFault) -> Generator[Frame, None, None]:
        """Reads frame after frame.

        Raises:
            UserError: there is not a single frame. A video that ends before its time is told to `on_fault`.
        """
        index = 0
        pictures = self._camera() if isinstance(self.source, int) else VideoReader(self.source).frames(on_fault)
        with contextlib.closing(pictures):
            for seconds, image in pictures:
                yield Frame(index, f"frame {index}", image, seconds)
                index += 1
        if index == 0:
            raise UserError(f"{self.name}: gives no frame; it is empty, damaged, or coded in a way FFmpeg cannot read")
        if self.kind == "camera":
            on_fault(f"{self.name}: stopped after {index} frames; it was unplugged, or another program took it")

    def _camera(self) -> Generator[tuple[float, np.ndarray], None, None]:
        """Seconds since the first picture, and the picture."""
        capture, start = _open_camera(int(self.source)), math.nan
        try:
            while (read := capture.read())[0]:
                now, image = time.monotonic(), read[1]
                start = now if math.isnan(start) else start
                if image.ndim == 2:
                    image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
                yield now - start, cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        finally:
            capture.release()


Source = ImageFiles | Video


def open_source(text: str, orientation: Orientation = "auto") -> Source:
    """The source that `input` names.

    Args:
        text: a file, a folder, a glob, a camera's number, or a stream's address. What is a picture is told by content.
        orientation: the frame to read photographs in; auto: as displayed, unless boxes say otherwise.

    Raises:
        UserError: there is no such thing, no image in the folder or under the glob, or the video, camera or stream
            cannot be opened.
    """
    if is_address(text):
        reader = VideoReader(text)
        return Video(text, "stream", reader.total, reader.rate)
    if text.startswith("file://"):
        text = urllib.request.url2pathname(text.removeprefix("file://"))
    path = Path(text)
    if path.is_dir():
        found = sorted(entry for entry in path.iterdir() if not entry.is_dir() and not entry.name.startswith("."))
        return _pictures(found, path, text, "no image in this folder", orientation)
    if path.is_file():
        if is_picture(path):
            return ImageFiles(path.parent, [path.name], text, orientation=orientation)
        reader = VideoReader(text)
        return Video(text, "video", reader.total, reader.rate)
    refuse_pipe(path)
    if text.isdecimal():
        return _find_camera(int(text))
    if glob.has_magic(text):
        found = sorted(Path(name) for name in glob.glob(text, recursive=True) if not Path(name).is_dir())
        if not found:
            raise UserError(f"{text}: no file matches")
        root = Path(os.path.commonpath([name.parent for name in found]))
        return _pictures(found, root, text, "no image among the files that match", orientation)
    raise UserError(f"{text}: no such file or folder")


def list_pictures(folder: str | Path) -> list[Path]:
    """The pictures in a folder, told by content, by name; hidden files are left out."""
    entries = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    return [entry for entry in entries if not entry.name.startswith(".") and is_picture(entry)]


def image_ids(names: Sequence[str]) -> list[int] | None:
    """The image ids that file names state, as COCO's do (000000000139.jpg); None unless all do, each its own."""
    found = [re.search(r"(\d+)$", Path(name).stem) for name in names]
    ids = [int(match.group(1)) for match in found if match]
    return ids if len(set(ids)) == len(names) else None


def _pictures(found: Iterable[Path], root: Path, given: str, otherwise: str, orientation: Orientation) -> ImageFiles:
    """The pictures among files, the others counted.

    Raises:
        UserError: there is none; `otherwise` says so.
    """
    names, passed_over = [], Counter[str]()
    for entry in found:
        if is_picture(entry):
            names.append(str(entry.relative_to(root)))
        else:
            passed_over[entry.suffix.lower() or "without suffix"] += 1
    if not names:
        raise UserError(f"{given}: {otherwise} ({describe_kinds(passed_over) or 'it is empty'})")
    return ImageFiles(root, names, given, passed_over=dict(passed_over), orientation=orientation)


def describe_kinds(passed_over: Mapping[str, int]) -> str:
    """Counts by kind in words: "2 .txt, 1 .mp4"."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(passed_over.items()))


def _find_camera(number: int) -> Video:
    capture = _open_camera(number)
    try:
        rate = capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    return Video(number, "camera", None, rate if math.isfinite(rate) and rate > 0 else CAMERA_RATE)


def _open_camera(number: int) -> cv2.VideoCapture:
    """Opens a camera; what OpenCV prints about a failure is replaced by one line."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with _quiet_opencv():
        capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise UserError(f"camera {number}: cannot be opened; is it there, and not in use by another program?")
    return capture


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
