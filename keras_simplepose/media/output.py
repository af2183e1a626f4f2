"""Where pictures go: photographs under their names, videos of the same rate and size, a window."""

import math
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path

JPEG_QUALITY = 95
_WRITABLE = (".jpg", ".jpeg", ".png", ".webp")
_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.destroyAllWindows()"
_PROBE_SECONDS = 30


def write_picture(folder: Path, name: str, image: np.ndarray) -> Path:
    """Writes a picture below a folder under its source's name, whole or not at all.

    Args:
        folder: to write to.
        name: of the source, which may hold folders; JPEG, PNG and WebP keep it, others get .png behind.
        image: [H, W, 3] uint8 RGB.

    Returns:
        the path written.

    Raises:
        UserError: it cannot be written.
    """
    path = folder / name
    if path.suffix.lower() not in _WRITABLE:
        path = path.with_name(path.name + ".png")
    with atomic_path(path) as temporary:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(str(temporary), bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise UserError(f"cannot write {path}; free space or choose another place")
    return path


class VideoFile:
    """A video being written; it appears under its name when closed without an error.

    MPEG-4 in an .mp4, which every OpenCV build with FFmpeg writes. OpenCV cuts frames of odd width or height for it, so
    those become Motion JPEG in an .avi, which takes whole rates only.
    """

    def __init__(self, stem: Path, rate: float):
        """Prepares a video; its format is chosen when the first frame's size is known.

        Args:
            stem: the path without a suffix.
            rate: frames per second.
        """
        self.path: Path | None = None
        self._stem, self._rate, self._size = stem, rate, (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "VideoFile":
        """Begins to write."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the video: renames it, or removes it after an error."""
        if self._writer is not None:
            self._writer.release()
            self._whole.__exit__(kind, error, trace)

    def write(self, image: np.ndarray) -> None:
        """Appends a frame [H, W, 3] uint8 RGB.

        Raises:
            UserError: the video cannot be written, its source states no rate, or a frame is of another size.
        """
        if self._writer is None:
            self._begin(image.shape[:2])
        if image.shape[:2] != self._size:
            raise UserError(f"{self.path}: a frame is {image.shape[:2]} where the first was {self._size}")
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def _begin(self, size: tuple[int, int]) -> None:
        if math.isnan(self._rate):
            raise UserError(f"{self._stem}: the video's frame rate is unknown; re-code it, or predict without draw")
        odd = size[0] % 2 or size[1] % 2
        if odd and not float(self._rate).is_integer():
            raise UserError(
                f"{self._stem}: OpenCV writes videos of odd size ({size[1]}×{size[0]}) at whole rates only, "
                f"and this is {self._rate:g}; re-code it to an even size, or predict without draw"
            )
        self.path, self._size = self._stem.with_name(self._stem.name + (".avi" if odd else ".mp4")), size
        self._whole = atomic_path(self.path)
        backend, codec = (cv2.CAP_OPENCV_MJPEG, "MJPG") if odd else (cv2.CAP_FFMPEG, "mp4v")
        temporary = self._whole.__enter__()
        code = cv2.VideoWriter.fourcc(*codec)
        self._writer = cv2.VideoWriter(str(temporary), backend, code, self._rate, (size[1], size[0]))
        if not self._writer.isOpened():
            raise UserError(f"cannot write {self.path}: OpenCV has no {codec} encoder here; predict without draw")


class Window:
    """A window that shows pictures."""

    def __init__(self, title: str):
        """Opens it.

        Raises:
            UserError: there is no display, or an OpenCV without windows.
        """
        # Without a display OpenCV's Qt ends the process, so another process tries it.
        try:
            probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=_PROBE_SECONDS)
            works = probe.returncode == 0
        except subprocess.TimeoutExpired:
            works = False
        if not works:
            raise UserError("show: no window can be opened here (no display, or opencv-python-headless)")
        self._title = title
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    def show(self, image: np.ndarray) -> bool:
        """Shows [H, W, 3] uint8 RGB; False once the user has pressed q or Escape, or closed the window."""
        cv2.imshow(self._title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF
        return key not in (ord("q"), 27) and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Closes it."""
        cv2.destroyWindow(self._title)
