"""`PosePredictor`: NumPy images and boxes in, poses out."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.conversion.named_models import load_model
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.codecs import simcc
from keras_simplepose.core.oks import pose_scores
from keras_simplepose.core.poses import Poses
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.stages import last_stage, pose_spec
from keras_simplepose.prediction.exported_model import CropFunction, is_artefact, load_artefact
from keras_simplepose.prediction.graph import crop_persons, predict_crops, predict_heatmaps, to_image
from keras_simplepose.utils.errors import UserError, shown

# Maps crops [B, H, W, 3] float32 RGB 0–255 to heatmaps [B, h, w, K], all NumPy.
HeatmapFunction = Callable[[np.ndarray], np.ndarray]

__all__ = ["CropFunction", "HeatmapFunction", "PosePredictor", "Poses", "PredictionRequest"]

IMAGES_AHEAD = 64  # Images that may wait for a forward pass to fill up, which bounds the memory.


@dataclass(frozen=True)
class PredictionRequest:
    """One image of a stream.

    Attributes:
        key: whatever identifies it to the caller.
        image: [H, W, 3] uint8 RGB.
        persons: where they are.
    """

    key: Any
    image: np.ndarray
    persons: PersonBoxes


class PosePredictor:
    """Finds the keypoints of the persons in given boxes, exactly as evaluation and the exported files do.

    Example:
        >>> import numpy as np
        >>> from keras_simplepose import EvaluationConfig, PosePredictor, build_pose_model
        >>> small = {"input_size": (64, 64), "deconv_filters": (8,), "deconv_kernels": (4,)}
        >>> model = build_pose_model("mobilenetv2", alpha=0.35, **small)  # or PosePredictor.load("pose.keras")
        >>> predictor = PosePredictor.from_model(model, EvaluationConfig(flip_test=False))
        >>> photograph = np.zeros((120, 160, 3), np.uint8)
        >>> poses = predictor(photograph, boxes=[[20, 10, 50, 100], [80, 10, 50, 100]])
        >>> poses.keypoints.shape
        (2, 17, 3)
    """

    def __init__(
        self,
        predict: CropFunction,
        spec: PoseSpec,
        config: EvaluationConfig | None = None,
        predict_heatmaps: HeatmapFunction | None = None,
    ):
        """Wraps a function of crops; `from_model` and `load` make the usual ones.

        Args:
            predict: finds keypoints in crops.
            spec: of the network behind it.
            config: protocol; its flip options are the business of `predict`.
            predict_heatmaps: gives the heatmaps of crops, for `heatmaps`; None where there is no getting at them.
        """
        self.spec, self.config = spec, config or EvaluationConfig()
        self._predict, self._predict_heatmaps = predict, predict_heatmaps
        self._crop = tf.function(
            lambda image, boxes: crop_persons(image[None], boxes, spec, tf.zeros_like(boxes[:, 0], tf.int32)),
            input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((None, 4), tf.float32)],
        )

    @classmethod
    def from_model(cls, model: Any, config: EvaluationConfig | None = None) -> "PosePredictor":
        """A predictor for a Keras model; its weights are read at every call, so it may be in training."""
        config, model = config or EvaluationConfig(), last_stage(model)
        spec = pose_spec(model).decoded_by(config.decoding)
        signature = [tf.TensorSpec((None, *spec.input_size, 3), tf.float32)]

        def network(crops: tf.Tensor) -> tf.Tensor:
            return model(crops, training=False)

        function = tf.function(lambda crops: predict_crops(network, crops, spec, config), input_signature=signature)
        heatmaps = tf.function(lambda crops: predict_heatmaps(network, crops, spec, config), input_signature=signature)

        def predict(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            keypoints, maxima = function(crops)
            return keypoints.numpy(), maxima.numpy()

        return cls(predict, spec, config, lambda crops: heatmaps(crops).numpy())

    @classmethod
    def load(cls, path: str | Path, config: EvaluationConfig | None = None) -> "PosePredictor":
        """A predictor for a .keras, .tflite or .onnx file, a SavedModel's folder, or a name as `load_model` takes it.

        Raises:
            UserError: the file or name is missing, damaged, of another kind, or exported with another flip test.
        """
        if is_artefact(path):
            return cls(*load_artefact(path, config), config)
        return cls.from_model(load_model(path), config)

    def __call__(
        self,
        image: np.ndarray | Sequence[np.ndarray],
        boxes: np.ndarray | Sequence | None = None,
        box_scores: np.ndarray | Sequence | None = None,
    ) -> Poses | list[Poses]:
        """Finds the persons' keypoints in one image, or in each of a list of images.

        Args:
            image: [H, W, 3] uint8 RGB, or a list of such, of any sizes.
            boxes: [N, 4] (x, y, width, height) in image pixels; None means one box, the whole image. For a list of
                images a list of these, or None.
            box_scores: [N], detection scores; None means 1 each. For a list of images a list of these, or None.

        Returns:
            the poses, in the order of the boxes, and a list of them for a list; memory is bounded by the batch size
            however many boxes.

        Raises:
            UserError: an image or box of the wrong shape or type, a box that is not finite or has no extent, lists of
                unequal length, or a network that gives values that are not finite.
        """
        if isinstance(image, np.ndarray):
            return next(self.stream([self.request(0, image, boxes, box_scores)]))[1]
        if not isinstance(image, list | tuple):
            raise UserError(f"the image is {shown(image)}; it must be an array [H, W, 3] uint8, RGB, or a list of such")
        columns: list[Any] = [[None] * len(image) if column is None else column for column in (boxes, box_scores)]
        for name, column in zip(("boxes", "scores"), columns, strict=True):
            length = len(column) if isinstance(column, Sequence) or np.ndim(column) else None
            if length != len(image):
                there = shown(column) if length is None else f"for {length}"
                raise UserError(f"{len(image)} images but {name} {there}; give an entry for each image")
        requests = (self.request(key, *entry) for key, entry in enumerate(zip(image, *columns, strict=True)))
        return [poses for _, poses in self.stream(requests)]

    def heatmaps(self, image: np.ndarray, boxes: np.ndarray | Sequence | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The heatmaps behind the keypoints, with the flip test if the protocol has it.

        Args:
            image: [H, W, 3] uint8 RGB.
            boxes: as in `__call__`.

        Returns:
            heatmaps [N, h, w, K] float32; matrices [N, 2, 3] float32, image pixels → crop pixels.

        Raises:
            UserError: as `__call__`, or the model is of a kind that keeps its heatmaps to itself.
        """
        if self._predict_heatmaps is None:
            raise UserError("this model gives keypoints only; heatmaps take a .keras model")
        request, size = self.request(0, image, boxes), self.config.evaluation_batch_size
        size_of_maps = self.spec.heatmap_size
        if self.spec.distributions:
            size_of_maps = (simcc.BINS * self.spec.input_size[0], simcc.BINS * self.spec.input_size[1])
        heatmaps = [np.zeros((0, *size_of_maps, len(self.spec.skeleton.keypoints)), np.float32)]
        all_matrices = [np.zeros((0, 2, 3), np.float32)]
        boxes = request.persons.boxes
        for first in range(0, len(boxes), size):
            crops, matrices = self._crop(request.image, boxes[first : first + size])
            values = self._predict_heatmaps(crops.numpy())
            heatmaps.append(np.asarray(simcc.as_maps(values, self.spec)) if self.spec.distributions else values)
            all_matrices.append(matrices.numpy())
        return np.concatenate(heatmaps), np.concatenate(all_matrices)

    @staticmethod
    def request(key: Any, image: np.ndarray, boxes: Any = None, box_scores: Any = None) -> PredictionRequest:
        """A checked request for `stream`; `boxes` may be `PersonBoxes`, else arguments and errors as in `__call__`."""
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UserError(f"image {key}: {image.shape} {image.dtype}; it must be [H, W, 3] uint8, RGB")
        if boxes is None and box_scores is None:
            return PredictionRequest(key, image, PersonBoxes.whole(image))
        if isinstance(boxes, PersonBoxes):
            boxes, box_scores = boxes.boxes, boxes.scores
        try:
            given = PersonBoxes.whole(image).boxes if boxes is None else boxes
            return PredictionRequest(key, image, PersonBoxes.of(given, box_scores))
        except UserError as error:
            raise UserError(f"image {key}: {error}") from error

    def stream(
        self, requests: Iterable[PredictionRequest], images_ahead: int = IMAGES_AHEAD
    ) -> Iterator[tuple[Any, Poses]]:
        """Finds poses in many images, filling each forward pass with persons of several.

        Args:
            requests: images with boxes; read as they are needed.
            images_ahead: images that may wait for a forward pass to fill up; 1 answers each image at once.

        Yields:
            (key, poses) in the order of the requests.

        Raises:
            UserError: the network gives values that are not finite.
        """
        waiting: deque[tuple[PredictionRequest, list]] = deque()  # Requests begun, with the results of their chunks.
        batch: list[tuple[list, np.ndarray, np.ndarray]] = []  # (results to append to, crops, matrices)
        size = self.config.evaluation_batch_size
        for request in requests:
            results: list = []
            waiting.append((request, results))
            first = 0
            while first < len(request.persons):
                room = size - sum(len(crops) for _, crops, _ in batch)
                crops, matrices = self._crop(request.image, request.persons.boxes[first : first + room])
                batch.append((results, crops.numpy(), matrices.numpy()))
                first += room
                if sum(len(crops) for _, crops, _ in batch) == size:
                    self._run(batch)
            # Images without persons fill no batch, and would pile up behind one that waits.
            if batch and len(waiting) >= images_ahead:
                self._run(batch)
            while waiting and sum(len(maxima) for _, maxima in waiting[0][1]) == len(waiting[0][0].persons):
                yield self._finish(*waiting.popleft())
        if batch:
            self._run(batch)
        for request, results in waiting:
            yield self._finish(request, results)

    def _run(self, batch: list[tuple[list, np.ndarray, np.ndarray]]) -> None:
        """One forward pass; hands each chunk of the batch its results, and empties it."""
        keypoints, maxima = self._predict(np.concatenate([crops for _, crops, _ in batch]))
        start = 0
        for results, crops, matrices in batch:
            part = slice(start, start + len(crops))
            points = to_image(matrices, keypoints[part])
            # pycocotools takes NaN for a perfect match: it must never get that far.
            if not (np.isfinite(points).all() and np.isfinite(maxima[part]).all()):
                raise UserError("the network gives values that are not finite; its weights or a box are damaged")
            results.append((points, maxima[part]))
            start += len(crops)
        batch.clear()

    def _finish(self, request: PredictionRequest, results: list) -> tuple[Any, Poses]:
        count = len(self.spec.skeleton.keypoints)
        points = np.concatenate([np.zeros((0, count, 2), np.float32), *(points for points, _ in results)])
        maxima = np.concatenate([np.zeros((0, count), np.float32), *(maxima for _, maxima in results)])
        threshold = self.config.keypoint_threshold
        limit = np.array(request.image.shape[1::-1]) - 1
        inside = ((points >= 0) & (points <= limit)).all(-1)
        poses = Poses(
            keypoints=np.concatenate([points, maxima[..., None]], axis=-1).astype(np.float32),
            scores=pose_scores(request.persons.scores, maxima, threshold).astype(np.float32),
            boxes=request.persons.boxes,
            reliable=(maxima > threshold) & inside,
            skeleton=self.spec.skeleton,
        )
        return request.key, poses
