"""Temperature scaling of a visibility head's probabilities (Guo et al., ICML 2017)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_simplepose.config import CalibrateConfig, EvaluationConfig
from keras_simplepose.conversion.named_models import load_model
from keras_simplepose.core import codecs
from keras_simplepose.core.geometry import box_to_crop, transform_points
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.annotations import load_annotations
from keras_simplepose.data.persons import Person, PersonSet
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.models.files import save_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.models.visibility import VisibilityScaling, learning_network, visibility_head
from keras_simplepose.prediction.data_set import ground_truth_boxes, predict_images
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.utils.errors import UserError

BINS = 10  # Of probabilities, each as wide, in the table and in the calibration error.
COLDEST, HOTTEST = 0.01, 100.0  # Temperatures; beyond, the logits say nothing, or all of it already.
HALVINGS = 60  # Of the interval of 1/T: more than float64 resolves.


@dataclass(frozen=True)
class Fit:
    """How well probabilities fit what they are of.

    Attributes:
        cross_entropy: mean over keypoints, in nats.
        error: the expected calibration error: how far a bin's mean probability is from its share, weighted by count.
        table: of each bin that has any: (lowest, highest, count, mean probability, share of keypoints that are so).
    """

    cross_entropy: float
    error: float
    table: tuple[tuple[float, float, int, float, float], ...]


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes:
        kind: what the head learns.
        before: temperature of the model given.
        after: that of the model written.
        persons: how many it was fitted on.
        fits: before and after.
    """

    kind: str
    before: float
    after: float
    persons: int
    fits: tuple[Fit, Fit]


def calibrate(config: CalibrateConfig, progress: bool = True) -> tuple[Calibration, str]:
    """Fits a model's temperature on annotated persons, in their own boxes, and writes the model with it.

    Args:
        config: the files.
        progress: shows a progress bar.

    Returns:
        what was found, and a line about images that carry an EXIF orientation, "" if none do.

    Raises:
        UserError: the model has no visibility head, a file is faulty, the annotations do not tell what the head
            learns, or the output cannot be written.
    """
    if Path(config.output).suffix != ".keras":
        raise UserError(f"output {config.output}: a model's name ends in .keras")
    network = load_model(config.model)
    head = visibility_head(network)
    if head is None:
        raise UserError(f"{config.model}: has no visibility head to calibrate; train one with visibility_head")
    persons = _persons(config, pose_spec(network), head)
    reading = ImageReading(config.orientation)
    logits, targets = visibility_logits(network, persons, config, reading, progress)
    before, after = float(head.temperature), fitted_temperature(logits, targets)
    head.temperature.assign(after)
    save_model(network, config.output)
    fits = fit_of(logits / before, targets), fit_of(logits / after, targets)
    return Calibration(head.kind, before, after, len(logits), fits), reading.warning()


def _persons(config: CalibrateConfig, spec: PoseSpec, head: VisibilityScaling) -> PersonSet:
    persons = load_annotations(
        config.annotations,
        config.images,
        spec.skeleton,
        trust_keypoint_order=config.trust_keypoint_order,
        boxes_from_keypoints=config.boxes_from_keypoints,
        follow_paths=config.follow_paths,
    )
    if not persons.persons:
        raise UserError(f"{persons.path}: no person with a labelled keypoint ({persons.summary()})")
    if head.needs_occlusion and not persons.tells_occlusion:
        raise UserError(
            f"{persons.path}: no keypoint is told to be visible (v = 2), which the head of {config.model} learns"
        )
    return persons


def visibility_logits(
    network: Any, persons: PersonSet, config: CalibrateConfig, reading: ImageReading, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """A head's logits of persons in their own boxes, and what they should say.

    Returns:
        logits [N, K] float64, not divided by any temperature; targets [N, K] bool.
    """
    spec, head, learning = pose_spec(network), visibility_head(network), learning_network(network)
    assert head is not None
    signature = [tf.TensorSpec((None, *spec.input_size, 3), tf.float32)]
    function = tf.function(lambda crops: learning(crops, training=False)[-1], input_signature=signature)

    def predict(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logits in the scores' place, so that photographs are read and cut as ever."""
        logits = function(crops).numpy()
        return np.zeros((*logits.shape, 2), np.float32), logits

    predictor = PosePredictor(predict, spec, EvaluationConfig(evaluation_batch_size=config.evaluation_batch_size))
    skipped: dict[int, str] | None = {} if config.skip_damaged else None
    by_image, logits, flags = persons.by_image(), [], []
    for image_id, poses in predict_images(
        predictor, ground_truth_boxes(persons), config.images, skipped, progress, reading
    ):
        logits.append(poses.keypoints[..., 2])
        flags.append(_flags_in_crops(by_image[image_id], spec))
    if not logits:
        raise UserError(f"{persons.path}: none of the images could be read")
    targets = np.asarray(head.targets(np.concatenate(flags))) > 0
    return np.concatenate(logits).astype(np.float64), targets


def _flags_in_crops(persons: list[Person], spec: PoseSpec) -> np.ndarray:
    """[N, K] float32: `Person.visible`, 0 for what lies outside the crop, as in training."""
    boxes = np.array([person.box for person in persons], np.float32)
    matrices = spec.crop_matrix(*box_to_crop(boxes, spec.input_size, spec.box_padding))
    points = transform_points(matrices, np.stack([person.keypoints for person in persons])).astype(np.float32)
    flags = np.stack([person.visible for person in persons])
    return flags * np.asarray(codecs.encode(points, flags, spec)[1])


def fitted_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature, from .01 to 100, of the least cross-entropy, which is convex in its inverse.

    Args:
        logits: of any shape.
        targets: likewise, bool.
    """
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slope = np.mean((sigmoid(logits * middle) - targets) * logits)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(2 / (low + high))


def fit_of(logits: np.ndarray, targets: np.ndarray) -> Fit:
    """How well the probabilities sigmoid(logits) fit bool targets of the same shape."""
    chances, targets = sigmoid(logits).ravel(), targets.ravel()
    entropy = float(np.mean(np.logaddexp(0, logits.ravel()) - targets * logits.ravel()))
    places = np.minimum((chances * BINS).astype(int), BINS - 1)
    table, error = [], 0.0
    for place in np.unique(places):
        inside = places == place
        mean, share = float(chances[inside].mean()), float(targets[inside].mean())
        table.append((float(place / BINS), float((place + 1) / BINS), int(inside.sum()), mean, share))
        error += float(abs(mean - share) * inside.mean())
    return Fit(entropy, error, tuple(table))


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + e^−x), without overflow."""
    return np.exp(-np.logaddexp(0, -values))


def calibration_text(calibration: Calibration) -> str:
    """The figures and the reliability table as lines."""
    what, (before, after) = calibration.kind, calibration.fits
    lines = [
        f"{calibration.persons:,} persons, {sum(row[2] for row in after.table):,} keypoints, "
        f"{what}: {np.average([row[4] for row in after.table], weights=[row[2] for row in after.table]):.1%}",
        f"{'':24}{'before':>8}{'after':>8}",
        f"{'temperature':24}{calibration.before:8.3f}{calibration.after:8.3f}",
        f"{'cross-entropy (nats)':24}{before.cross_entropy:8.4f}{after.cross_entropy:8.4f}",
        f"{'calibration error':24}{before.error:8.4f}{after.error:8.4f}",
        "",
        f"probability  keypoints      mean  {what}   (after)",
    ]
    lines += [
        f"{low:.1f} to {high:.1f}{count:13,}{mean:10.3f}{share:{len(what) + 2}.3f}"
        for low, high, count, mean, share in after.table
    ]
    return "\n".join(lines)
