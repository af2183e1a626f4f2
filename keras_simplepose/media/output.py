"""Where drawings of photographs go: into files under their names, or a window."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import result_path

JPEG_QUALITY = 95
_WRITABLE = (".jpg", ".jpeg", ".png", ".webp")
_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.destroyAllWindows()"
_PROBE_SECONDS = 30


def picture_path(folder: Path, name: str) -> Path:
    """Where `write_picture` puts the picture of a source's name; JPEG, PNG and WebP keep it, others get .png behind."""
    path = folder / name
    return path if path.suffix.lower() in _WRITABLE else path.with_name(path.name + ".png")


def write_picture(folder: Path, name: str, image: np.ndarray, source: str = "") -> Path:
    """Writes a picture below a folder under its source's name, whole or not at all.

    Args:
        folder: to write to.
        name: of the source, which may hold folders; see `picture_path`.
        image: [H, W, 3] uint8 RGB.
        source: what it is drawn from; see `result_path`.

    Returns:
        the path written.

    Raises:
        UserError: it cannot be written.
    """
    path = picture_path(folder, name)
    suffix = path.suffix.lower()
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    try:
        # Coded here and written by Python: OpenCV takes no names that are not UTF-8.
        done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
    except cv2.error as error:
        raise UserError(f"cannot write {path}: {error.err or error}") from error
    if not done:
        raise UserError(f"cannot write {path}: it cannot be coded as {suffix}")
    with result_path(path, source) as temporary:
        temporary.write_bytes(data.tobytes())
    return path


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
