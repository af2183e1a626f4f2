"""Whether an ONNX file may be loaded here: OpenCV's reader ends the process over some that are damaged."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from keras_simplepose.utils.errors import UserError

SECONDS = 120  # For a network to be read and run once.
# Alone, so that what crashes is not this process: only OpenCV is imported.
_TRY = """
import sys, cv2, numpy as np
try:
    network = cv2.dnn.readNetFromONNX(sys.argv[1])
    network.setInput(cv2.dnn.blobFromImage(np.zeros((int(sys.argv[2]), int(sys.argv[2]), 3), np.uint8)))
    network.forward()
except (cv2.error, Exception):
    pass
"""
# An entry of `external_data` (onnx.proto: StringStringEntryProto): key "location", then the value and its length.
_LOCATION = re.compile(rb"\x0a\x08location\x12(?:([\x00-\x7f])|([\x80-\xff])([\x01-\x7f]))", re.DOTALL)


def check_onnx(path: str, size: int) -> None:
    """Tries a file in a process of its own; what it merely cannot read is left to the caller to say.

    Args:
        path: of the file.
        size: of the square input it is tried with, in pixels.

    Raises:
        UserError: it ends the process that reads it, takes too long, or has weights outside its folder.
    """
    check_external_data(path)
    command = [sys.executable, "-c", _TRY, path, str(size)]
    try:
        status = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{path}: takes more than {SECONDS} s to run once; the file is damaged, or too large"
        ) from error
    if status < 0:
        name = signal.Signals(-status).name
        raise UserError(f"{path}: is damaged (OpenCV ends with {name} over it); fetch or export it anew")


def check_external_data(path: str) -> None:
    """Refuses weights kept outside the model's folder.

    Raises:
        UserError: naming the place.
    """
    content, root = Path(path).read_bytes(), os.path.realpath(os.path.dirname(path) or ".")
    for match in _LOCATION.finditer(content):
        short, low, high = match.groups()
        length = short[0] if short else (low[0] & 0x7F) | high[0] << 7
        place = os.fsdecode(content[match.end() : match.end() + length])
        there = os.path.realpath(os.path.join(root, place))
        if os.path.isabs(place) or os.path.commonpath([there, root]) != root:
            raise UserError(f"{path}: keeps weights outside its folder, at {place[-60:]!r}; move them beside it")
