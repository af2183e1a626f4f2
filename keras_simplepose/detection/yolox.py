"""Finding persons in photographs: YOLOX files through OpenCV, KerasHub's detectors, or the whole image.

YOLOX's input and output conventions are those of its published ONNX exports (github.com/Megvii-BaseDetection/YOLOX).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from keras_simplepose.config import DetectorConfig
from keras_simplepose.utils.errors import UserError

LETTERBOX_GREY = 114  # YOLOX fills what the image leaves free of its input with this.
YOLOX_STRIDES = (8, 16, 32)
KERAS_HUB = "keras_hub:"
WHOLE_IMAGE = "none"


@dataclass(frozen=True, eq=False)
class FoundPersons:
    """The persons a detector found in one image.

    Attributes:
        boxes: [N, 4] float32 (x, y, width, height) in image pixels, best first; they may reach outside the image.
        scores: [N] float32 in [0, 1].
    """

    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        """The number of persons."""
        return len(self.boxes)


# Maps an image [H, W, 3] uint8 RGB to the persons in it.
Detector = Callable[[np.ndarray], FoundPersons]


def whole_image(image: np.ndarray) -> FoundPersons:
    """One box, score 1: all of the image [H, W, 3]."""
    height, width = image.shape[:2]
    return FoundPersons(np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32))


def load_detector(config: DetectorConfig) -> Detector:
    """The detector a configuration names.

    Raises:
        UserError: an option is out of range, the file is missing or no YOLOX network, or KerasHub is not installed or
            has no such preset.
    """
    for name in ("detector_threshold", "detector_overlap"):
        if not 0 <= getattr(config, name) <= 1:
            raise UserError(f"--{name} is {getattr(config, name)}; it must be from 0 to 1")
    if config.detector == WHOLE_IMAGE:
        return whole_image
    if config.detector.startswith(KERAS_HUB):
        from keras_simplepose.detection.keras_hub import KerasHubDetector  # KerasHub is an optional extra.

        return KerasHubDetector.load(config.detector.removeprefix(KERAS_HUB), config)
    if not config.detector.endswith(".onnx"):
        raise UserError(f"--detector is {config.detector!r}; give a YOLOX .onnx file, keras_hub:PRESET, or none")
    return YoloxDetector(config)


def letterbox(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Fits an image into a canvas, in its top left corner, keeping the aspect ratio.

    Args:
        image: [H, W, 3] uint8.
        size: (height, width) of the canvas.

    Returns:
        the canvas, uint8, grey where free; and the factor: canvas pixels = factor · image pixels.
    """
    factor = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(1, min(limit, int(side * factor))) for limit, side in zip(size, image.shape, strict=False))
    canvas = np.full((*size, 3), LETTERBOX_GREY, np.uint8)
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return canvas, factor


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
    for stride in YOLOX_STRIDES:
        count = size // stride
        y, x = np.divmod(np.arange(count * count, dtype=np.float32), count)
        cells.append(np.stack([x, y], axis=-1))
        strides.append(np.full((count * count, 1), stride, np.float32))
    stride = np.concatenate(strides)
    center = (output[:, :2] + np.concatenate(cells)) * stride
    extent = np.exp(np.minimum(output[:, 2:4], 20)) * stride  # No image has a million cells; larger would overflow.
    return np.concatenate([center - extent / 2, extent], axis=-1), output[:, 4:5] * output[:, 5:]


def keep_best(boxes: np.ndarray, scores: np.ndarray, threshold: float, overlap: float) -> FoundPersons:
    """Drops boxes that are weak, have no area, or overlap a better one.

    Args:
        boxes: [A, 4] float32 (x, y, width, height).
        scores: [A] float32.
        threshold: least score.
        overlap: greatest IoU with a better box.
    """
    usable = np.flatnonzero(np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1) & (scores >= threshold))
    boxes, scores = boxes[usable], scores[usable]
    # NMSBoxes would drop scores equal to its threshold, so it is given 0; a score of 0 is no detection.
    kept = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, overlap), np.int64).reshape(-1)
    return FoundPersons(boxes[kept].astype(np.float32), scores[kept].astype(np.float32))


class YoloxDetector:
    """A YOLOX ONNX file, run by OpenCV."""

    def __init__(self, config: DetectorConfig):
        """Loads the file and tries it on an empty image.

        Raises:
            UserError: it is missing, or not a YOLOX network of that input size and class number.
        """
        self._config, self._size = config, config.detector_size
        self._class = max(config.person_class, 0)
        if self._size < max(YOLOX_STRIDES) or self._size % max(YOLOX_STRIDES):
            raise UserError(f"--detector_size is {self._size}; it must be a multiple of {max(YOLOX_STRIDES)}")
        if not Path(config.detector).is_file():
            raise UserError(f"{config.detector}: no such detector file")
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
                "--detector_size must be what the file was exported with"
            ) from error
        if len(shape) != 3 or shape[:2] != (1, cells) or shape[2] < 6:
            raise UserError(
                f"{config.detector}: gives {list(shape)} where a YOLOX of input {self._size} gives [1, {cells}, "
                "5 + classes]; give a YOLOX export, and its input size as --detector_size"
            )
        if self._class >= shape[2] - 5:
            raise UserError(f"--person_class is {self._class}, but {config.detector} has {shape[2] - 5} classes")

    def _forward(self, canvas: np.ndarray) -> np.ndarray:
        # BGR of 0–255, as the network was trained: cv2.imread's own order, neither scaled nor shifted.
        self._network.setInput(cv2.dnn.blobFromImage(canvas, swapRB=True))
        return self._network.forward()

    def __call__(self, image: np.ndarray) -> FoundPersons:
        """The persons in an image [H, W, 3] uint8 RGB."""
        canvas, factor = letterbox(image, (self._size, self._size))
        boxes, scores = decode_yolox(self._forward(canvas)[0], self._size)
        config = self._config
        return keep_best(boxes / factor, scores[:, self._class], config.detector_threshold, config.detector_overlap)


def _brief(error: cv2.error) -> str:
    """What an OpenCV exception says, in part of a line."""
    return " ".join((error.err or str(error)).split())[:150]
