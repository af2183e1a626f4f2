"""The codec's ceiling: what a network with perfect heatmaps would score."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from keras_simplepose.config import CodecConfig, EvaluationConfig
from keras_simplepose.core import codecs
from keras_simplepose.core.codecs.simcc import row_length
from keras_simplepose.core.geometry import box_to_crop, transform_points
from keras_simplepose.core.oks import pose_scores
from keras_simplepose.core.skeletons import load_skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.persons import Person, PersonSet
from keras_simplepose.evaluation.coco_metrics import keypoint_metrics
from keras_simplepose.evaluation.evaluator import EvaluationResult
from keras_simplepose.prediction.graph import to_image
from keras_simplepose.prediction.pose_files import coco_results
from keras_simplepose.prediction.predictor import Poses
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.names import look_up

# Of the table: the sizes of the paper's, and the deviation it trains them with.
TABLE_FRAMES = {(128, 96): 2.0, (256, 192): 2.0, (384, 288): 3.0}
TABLE_METRICS = ("AP", "AP75", "APM", "APL")


def codec_spec(config: CodecConfig) -> PoseSpec:
    """The frame that a configuration describes.

    Raises:
        UserError: there is no such skeleton.
    """
    (height, width), stride = config.input_size, config.stride
    rows = look_up("codec", config.codec, codecs.CODECS).distributions
    heatmap_size = (1, row_length(config.input_size)) if rows else (height // stride, width // stride)
    return PoseSpec(load_skeleton(config.skeleton), (height, width), heatmap_size, config.sigma, config.codec)


def pass_through_codec(persons: Sequence[Person], spec: PoseSpec, config: EvaluationConfig) -> Poses:
    """The poses of persons after encoding and decoding in the crops of their boxes.

    Args:
        persons: N of them, as few as fit into memory as heatmaps.
        spec: of the frame and its codec.
        config: its keypoint threshold counts.

    Returns:
        N poses, in order; keypoints that are not labelled, or whose peak lies far outside the crop, have score 0.
    """
    boxes = np.array([person.box for person in persons], np.float32)
    matrices = spec.crop_matrix(*box_to_crop(boxes, spec.input_size, spec.box_padding))
    in_crops = transform_points(matrices, np.stack([person.keypoints for person in persons]))
    visible = np.stack([person.visible for person in persons])
    targets, _ = codecs.encode(in_crops.astype(np.float32), visible, spec)
    decoded, maxima = (np.asarray(value) for value in codecs.decode(targets, spec))
    return Poses(
        keypoints=np.concatenate([to_image(matrices, decoded), maxima[..., None]], axis=-1).astype(np.float32),
        scores=pose_scores(np.ones(len(persons), np.float32), maxima, config.keypoint_threshold),
        boxes=boxes,
        reliable=maxima > config.keypoint_threshold,
        skeleton=spec.skeleton,
    )


def codec_ceiling(person_set: PersonSet, spec: PoseSpec, config: EvaluationConfig | None = None) -> EvaluationResult:
    """Measures the OKS AP of the ground truth itself, encoded and decoded in its own boxes, no network between.

    Nothing is suppressed: what is lost, the codec and the crop lose, and COCO's limit of 20 poses an image.

    Args:
        person_set: the ground truth.
        spec: of the frame and its codec.
        config: its keypoint threshold and batch size count.

    Raises:
        UserError: there is nobody to evaluate.
    """
    config = config or EvaluationConfig()
    persons = person_set.persons
    if not persons:
        raise UserError(f"{person_set.path}: no labelled person to evaluate ({person_set.summary()})")
    results = []
    for start in range(0, len(persons), config.evaluation_batch_size):
        chunk = persons[start : start + config.evaluation_batch_size]
        poses = pass_through_codec(chunk, spec, config)
        for index, person in enumerate(chunk):
            kept = np.array([index])
            results += coco_results(person.image_id, person_set.category_id, poses, kept, poses.scores[kept])
    metrics = keypoint_metrics(person_set, results, spec.skeleton.sigmas)
    return EvaluationResult(metrics, results, {"images": len(person_set.images), "persons": len(persons)})


def ceiling_table(person_set: PersonSet, config: CodecConfig, evaluation: EvaluationConfig) -> Iterator[str]:
    """The ceilings of all codecs in `TABLE_FRAMES` as lines of text, each as soon as it is measured.

    The distance is that of labelled keypoints from their places after encoding and decoding, in crop pixels, those left
    out whose label lies outside the crop.

    Args:
        person_set: the ground truth.
        config: its skeleton counts.
        evaluation: as `codec_ceiling`.

    Raises:
        UserError: as `codec_ceiling`.
    """
    names = [*TABLE_METRICS, "mean px", "largest px"]
    yield f"{'codec':<15} {'input':>8}" + "".join(f"{name:>11}" for name in names)
    for codec in codecs.CODECS:
        for (height, width), sigma in TABLE_FRAMES.items():
            spec = codec_spec(replace(config, codec=codec, input_size=(height, width), sigma=sigma))
            metrics = codec_ceiling(person_set, spec, evaluation).metrics
            distances = _distances(person_set.persons, spec, evaluation)
            values = [*(metrics.get(name, float("nan")) for name in TABLE_METRICS), distances.mean(), distances.max()]
            yield f"{codec:<15} {f'{height}×{width}':>8}" + "".join(f"{value:>11.4f}" for value in values)


def _distances(persons: Sequence[Person], spec: PoseSpec, config: EvaluationConfig) -> np.ndarray:
    """How far labelled keypoints inside their crops come back from their places, in crop pixels."""
    found = []
    for start in range(0, len(persons), config.evaluation_batch_size):
        chunk = persons[start : start + config.evaluation_batch_size]
        poses = pass_through_codec(chunk, spec, config)
        matrices = spec.crop_matrix(*box_to_crop(poses.boxes, spec.input_size, spec.box_padding))
        there = transform_points(matrices, np.stack([person.keypoints for person in chunk]))
        back = transform_points(matrices, poses.keypoints[..., :2])
        inside = np.all((there >= 0) & (there <= np.array(spec.input_size[::-1]) - 1), axis=-1)
        counted = inside & (np.stack([person.visible for person in chunk]) > 0)
        found.append(np.linalg.norm(back - there, axis=-1)[counted])
    return np.concatenate(found)
