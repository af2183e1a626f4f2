"""`PosePredictor`: NumPy images and boxes in, poses out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core.errors import UserError
from keras_simplepose.core.oks import pose_scores
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.engine.artefacts import CropFunction, is_artefact, load_artefact
from keras_simplepose.engine.inference import InferenceOptions, crop_persons, predict_crops, to_image
from keras_simplepose.models.pose import load_model, pose_spec


@dataclass(frozen=True)
class Poses:
    """The poses found in one image.

    Attributes:
        keypoints: [N, K, 3] float32 (x, y, score): image pixels, and the heatmap's maximum.
        scores: [N] float32, box score × mean of the maxima above the threshold.
        boxes: [N, 4] float32 (x, y, width, height) in image pixels, as given.
        reliable: [N, K] bool, the point's score exceeds the threshold and it lies inside the image.
        skeleton: of the keypoints.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    reliable: np.ndarray
    skeleton: Skeleton

    def __len__(self) -> int:
        """The number of persons."""
        return len(self.keypoints)


@dataclass(frozen=True)
class PredictionRequest:
    """One image of a stream.

    Attributes:
        key: whatever identifies it to the caller.
        image: [H, W, 3] uint8 RGB.
        boxes: [N, 4] float32 (x, y, width, height) in image pixels.
        box_scores: [N] float32, 1 for a box known to be right.
    """

    key: Any
    image: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray


class PosePredictor:
    """Finds the keypoints of the persons in given boxes, exactly as evaluation and the exported files do."""

    def __init__(self, predict: CropFunction, spec: PoseSpec, config: EvaluationConfig | None = None):
        """Wraps a function of crops; `from_model` and `load` make the usual ones.

        Args:
            predict: finds keypoints in crops.
            spec: of the network behind it.
            config: protocol; its flip options are the business of `predict`.
        """
        self.spec, self.config = spec, config or EvaluationConfig()
        self._predict = predict
        self._crop = tf.function(
            lambda image, boxes: crop_persons(image[None], boxes, spec, tf.zeros_like(boxes[:, 0], tf.int32)),
            input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((None, 4), tf.float32)],
        )

    @classmethod
    def from_model(cls, model: Any, config: EvaluationConfig | None = None) -> "PosePredictor":
        """A predictor for a Keras model; its weights are read at every call, so it may be in training."""
        config, spec = config or EvaluationConfig(), pose_spec(model)
        options = InferenceOptions.from_config(config)
        function = tf.function(
            lambda crops: predict_crops(lambda x: model(x, training=False), crops, spec, options),
            input_signature=[tf.TensorSpec((None, *spec.input_size, 3), tf.float32)],
        )

        def predict(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            keypoints, maxima = function(crops)
            return keypoints.numpy(), maxima.numpy()

        return cls(predict, spec, config)

    @classmethod
    def load(cls, path: str | Path, config: EvaluationConfig | None = None) -> "PosePredictor":
        """A predictor for a .keras, .tflite or .onnx file or a SavedModel's folder.

        Raises:
            UserError: the file is missing, damaged, of another kind, or exported with another flip test.
        """
        if is_artefact(path):
            return cls(*load_artefact(path, config), config)
        return cls.from_model(load_model(path), config)

    def __call__(
        self, image: np.ndarray, boxes: np.ndarray | Sequence | None = None, box_scores: np.ndarray | None = None
    ) -> Poses:
        """Finds the persons' keypoints in one image.

        Args:
            image: [H, W, 3] uint8 RGB.
            boxes: [N, 4] (x, y, width, height) in image pixels; None means one box, the whole image.
            box_scores: [N], detection scores; None means 1 each.

        Returns:
            the poses, in the order of the boxes; memory is bounded by the batch size however many boxes.

        Raises:
            UserError: an image or box of the wrong shape or type, or a box that is not finite or has no extent.
        """
        return next(self.stream([self.request(0, image, boxes, box_scores)]))[1]

    @staticmethod
    def request(
        key: Any, image: np.ndarray, boxes: Any = None, box_scores: np.ndarray | None = None
    ) -> PredictionRequest:
        """A checked request for `stream`; arguments and errors as in `__call__`."""
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UserError(f"image {key}: {image.shape} {image.dtype}; it must be [H, W, 3] uint8, RGB")
        if boxes is None:
            boxes = [[0, 0, image.shape[1], image.shape[0]]]
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4) if len(boxes) else np.zeros((0, 4), np.float32)
        # A box without width still has a crop, by its height; annotations clipped at the image's edge have such boxes.
        sizes = boxes[:, 2:]
        wrong = np.flatnonzero(~np.isfinite(boxes).all(1) | (sizes < 0).any(1) | (sizes == 0).all(1))
        if len(wrong):
            box = boxes[wrong[0]].tolist()
            raise UserError(f"image {key}: box {wrong[0]} is {box}; width and height must be ≥ 0, and one of them > 0")
        scores = np.ones(len(boxes), np.float32) if box_scores is None else np.asarray(box_scores, np.float32)
        if scores.shape != (len(boxes),):
            raise UserError(f"image {key}: {len(boxes)} boxes but scores of shape {scores.shape}")
        return PredictionRequest(key, image, boxes, scores)

    def stream(self, requests: Iterable[PredictionRequest]) -> Iterator[tuple[Any, Poses]]:
        """Finds poses in many images, filling each forward pass with persons of several.

        Args:
            requests: images with boxes; read as they are needed.

        Yields:
            (key, poses) in the order of the requests.
        """
        waiting: list[tuple[PredictionRequest, list]] = []  # Requests begun, with the results of their chunks.
        batch: list[tuple[list, np.ndarray, np.ndarray]] = []  # (results to append to, crops, matrices)
        size = self.config.evaluation_batch_size

        def run() -> None:
            keypoints, maxima = self._predict(np.concatenate([crops for _, crops, _ in batch]))
            start = 0
            for results, crops, matrices in batch:
                part = slice(start, start + len(crops))
                results.append((to_image(matrices, keypoints[part]), maxima[part]))
                start += len(crops)
            batch.clear()

        for request in requests:
            results: list = []
            waiting.append((request, results))
            first = 0
            while first < len(request.boxes):
                room = size - sum(len(crops) for _, crops, _ in batch)
                crops, matrices = self._crop(request.image, request.boxes[first : first + room])
                batch.append((results, crops.numpy(), matrices.numpy()))
                first += room
                if sum(len(crops) for _, crops, _ in batch) == size:
                    run()
            while waiting and sum(len(maxima) for _, maxima in waiting[0][1]) == len(waiting[0][0].boxes):
                yield self._finish(*waiting.pop(0))
        if batch:
            run()
        for request, results in waiting:
            yield self._finish(request, results)

    def _finish(self, request: PredictionRequest, results: list) -> tuple[Any, Poses]:
        count = len(self.spec.skeleton.keypoints)
        points = np.concatenate([np.zeros((0, count, 2), np.float32), *(points for points, _ in results)])
        maxima = np.concatenate([np.zeros((0, count), np.float32), *(maxima for _, maxima in results)])
        threshold = self.config.keypoint_threshold
        limit = np.array(request.image.shape[1::-1]) - 1
        inside = ((points >= 0) & (points <= limit)).all(-1)
        poses = Poses(
            keypoints=np.concatenate([points, maxima[..., None]], axis=-1).astype(np.float32),
            scores=pose_scores(request.box_scores, maxima, threshold).astype(np.float32),
            boxes=request.boxes,
            reliable=(maxima > threshold) & inside,
            skeleton=self.spec.skeleton,
        )
        return request.key, poses
