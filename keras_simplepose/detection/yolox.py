"""YOLOX files as person detectors, run by OpenCV.

YOLOX's input and output conventions are those of its published ONNX exports (github.com/Megvii-BaseDetection/YOLOX).
"""

from pathlib import Path

import cv2
import numpy as np

from keras_simplepose.config import DetectorConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.detection.boxes import keep_best
from keras_simplepose.detection.onnx_checks import check_onnx
from keras_simplepose.media.letterbox import LETTERBOX_GREY, letterbox
from keras_simplepose.utils.errors import UserError

YOLOX_STRIDES = (8, 16, 32)


def decode_yolox(output: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads the raw output of a YOLOX network.

    Args:
        output: [A, 5 + C] float32: for each cell of the three grids, finest first and row by row, the centre's offset
            from the cell in cells, the logarithms of width and height in cells, objectness, and C class scores.
        size: side of the square input in pixels; A is the sum of (size / stride)² over the strides.

    Returns:
        boxes [A, 4] float32 (x, y, width, height) in input pixels; scores [A, C] float32, objectness × class score.
    """
    cells, strides = [], []
    for side in YOLOX_STRIDES:
        count = size // side
        y, x = np.divmod(np.arange(count * count, dtype=np.float32), count)
        cells.append(np.stack([x, y], axis=-1))
        strides.append(np.full((count * count, 1), side, np.float32))
    stride = np.concatenate(strides)
    center = (output[:, :2] + np.concatenate(cells)) * stride
    extent = np.exp(np.minimum(output[:, 2:4], 20)) * stride  # No image has a million cells; larger would overflow.
    return np.concatenate([center - extent / 2, extent], axis=-1), output[:, 4:5] * output[:, 5:]


class YoloxDetector:
    """A YOLOX ONNX file, run by OpenCV."""

    def __init__(self, config: DetectorConfig):
        """Loads the file and tries it on an empty image.

        Raises:
            UserError: it is missing, or not a YOLOX network of that input size and class number.
        """
        self._config, self._size = config, config.detector_size
        self._class = max(config.person_class, 0)
        if not Path(config.detector).is_file():
            raise UserError(f"{config.detector}: no such detector file")
        check_onnx(config.detector, self._size)
        try:
            self._network = cv2.dnn.readNetFromONNX(config.detector)
        except cv2.error as error:
            raise UserError(f"{config.detector}: not an ONNX file that OpenCV reads ({_brief(error)})") from error
        cells = sum((self._size // stride) ** 2 for stride in YOLOX_STRIDES)
        try:
            shape = self._forward(np.full((self._size, self._size, 3), LETTERBOX_GREY, np.uint8)).shape
        except cv2.error as error:
            raise UserError(
                f"{config.detector}: does not run with a {self._size}×{self._size} input ({_brief(error)}); "
                "detector_size must be what the file was exported with"
            ) from error
        if len(shape) != 3 or shape[:2] != (1, cells) or shape[2] < 6:
            raise UserError(
                f"{config.detector}: gives {list(shape)} where a YOLOX of input {self._size} gives [1, {cells}, "
                "5 + classes]; give a YOLOX export, and its input size as detector_size"
            )
        if self._class >= shape[2] - 5:
            raise UserError(f"person_class is {self._class}, but {config.detector} has {shape[2] - 5} classes")

    def _forward(self, canvas: np.ndarray) -> np.ndarray:
        # BGR of 0–255, as the network was trained: cv2.imread's own order, neither scaled nor shifted.
        self._network.setInput(cv2.dnn.blobFromImage(canvas, swapRB=True))
        return self._network.forward()

    def __call__(self, image: np.ndarray) -> PersonBoxes:
        """The persons in an image [H, W, 3] uint8 RGB."""
        canvas, factor = letterbox(image, (self._size, self._size))
        boxes, scores = decode_yolox(self._forward(canvas)[0], self._size)
        config = self._config
        return keep_best(boxes / factor, scores[:, self._class], config.threshold(), config.detector_overlap)


def _brief(error: cv2.error) -> str:
    """What an OpenCV exception says, in part of a line."""
    return " ".join((error.err or str(error)).split())[:150]
