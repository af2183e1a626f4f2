"""Photographs and videos for tests."""

import cv2
import numpy as np
from PIL import Image


def write_video(path, count, size=(48, 64), rate=25.0, codec="mp4v"):
    """Frame i is grey 8·i, modulo 256."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, size[::-1])
    assert writer.isOpened()
    for index in range(count):
        writer.write(np.full((*size, 3), 8 * index % 256, np.uint8))
    writer.release()
    return path


def read_all(source):
    faults = []
    return list(source.frames(faults.append)), faults


def image_file(path, value=100, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
    return path
