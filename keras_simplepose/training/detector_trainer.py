"""Training a person detector from configurations to a folder of results."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_simplepose.config import DetectorConfig, DetectorDataConfig, DetectorTrainingConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.letterboxed import detector_batches, letterboxed_set
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.detection.center_detector import CenterDetector
from keras_simplepose.detection.data_set import detect_data_set
from keras_simplepose.evaluation.box_metrics import FALSE_BOXES, box_average_precision, recall_curve
from keras_simplepose.media.images import check_image_folder
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.models.folded_weights import is_folded, load_folded_weights
from keras_simplepose.models.person_detector import set_threshold
from keras_simplepose.training.callbacks import EpochEvaluation, EpochReport
from keras_simplepose.training.checkpoints import CheckpointFolder
from keras_simplepose.training.detector_model import DetectorTrainingModel
from keras_simplepose.training.devices import make_strategy
from keras_simplepose.training.jit import choose_jit
from keras_simplepose.training.loop import TrainingLoop
from keras_simplepose.training.network import build_detector
from keras_simplepose.training.run_options import Interval
from keras_simplepose.training.run_state import RunState, go_on, identity_of, locked
from keras_simplepose.training.trainer import (
    checkpoint_to_go_on_from,
    first_examples,
    make_optimizer,
    sample_crops,
)
from keras_simplepose.utils.errors import UserError

CACHE = "images"  # The folder in the workdir for letterboxed images.
EVALUATED_SCORE = 0.05  # Detections below this are too many to be worth their share of AP.


@dataclass(frozen=True)
class DetectorTrainingResult:
    """What a run leaves.

    Attributes:
        model: the best model's file if AP was measured, else the last's.
        rows: the epochs' figures, as in curves.csv.
        skipped: damaged images passed over, with the reason.
        warnings: about images that carry an EXIF orientation.
    """

    model: Path
    rows: list[dict[str, float]]
    skipped: dict[str, str]
    warnings: tuple[str, ...]


def train_detector(config: DetectorTrainingConfig) -> DetectorTrainingResult:
    """Trains a person detector, or goes on with an interrupted run.

    Raises:
        UserError: a mistake in the configuration or the data, another process at work in the folder, or a loss that is
            not finite.
        Interrupted: stopped by SIGINT or SIGTERM, after a checkpoint.
    """
    workdir = Path(config.run.workdir)
    with locked(workdir):
        return _train(config, workdir)


def _train(config: DetectorTrainingConfig, workdir: Path) -> DetectorTrainingResult:
    data, optimization = config.data, config.optimization
    if config.run.strategy == "multi_worker":
        raise UserError("strategy multi_worker is for train; a person detector is trained by one process")
    checkpoints = CheckpointFolder(workdir, config.run.keep_checkpoints)
    begun = checkpoint_to_go_on_from(checkpoints, config)
    keras.utils.set_random_seed(config.run.seed)
    strategy = make_strategy(config.run.strategy, optimization.batch_size)
    with strategy.scope():
        network = build_detector(config)
        trainer = DetectorTrainingModel(network, optimization.size_weight)
    reading = ImageReading(data.orientation)
    persons = _persons(data, data.annotations, data.images)
    validation = _persons(data, data.validation_annotations, data.validation_images)
    if persons is None or not persons.persons:
        raise UserError(f"{data.annotations}: no person to learn ({persons.summary() if persons else 'no file'})")
    print(f"training annotations: {persons.summary()}")
    source = letterboxed_set(
        persons,
        Path(data.images),
        trainer.spec.input_size,
        workdir / CACHE,
        skip_damaged=data.skip_damaged,
        reading=reading,
        maximum_images=data.maximum_images,
    )
    if optimization.batch_size > len(source.places):
        raise UserError(
            f"batch_size is {optimization.batch_size}, but there are only {len(source.places)} images to train on"
        )
    evaluation = None
    if validation is not None:
        print(f"validation annotations: {validation.summary()}")
        evaluation = EpochEvaluation(None, _measure(network, validation, data), config.run.evaluate_every)

    def batches_from(step: int) -> tuple[tf.data.Dataset, int]:
        return detector_batches(source, optimization.batch_size, config.augmentation, config.run.seed, step)

    batches, steps = batches_from(0)
    with strategy.scope():
        trainer.compile(optimizer=make_optimizer(config, steps, network))
        trainer.optimizer.build(network.trainable_variables)
    state = RunState(checkpoints, identity_of(config, steps, source, None))
    if begun:
        state.progress = go_on(trainer, begun, state.identity, workdir, config.run.resume)
        print(f"going on after step {state.progress.step} of {steps * optimization.epochs}")
    if state.progress.jit_compile is None:
        state.progress.jit_compile = choose_jit(config, trainer, batches, steps, strategy)
    examples = first_examples(batches, config.run.picture_count)
    if is_folded(config.model.backbone_weights) and not (begun or config.model.initial_model):
        print(load_folded_weights(network, config.model.backbone_weights, sample_crops(config, trainer, batches)))
    trainer.jit_compile = state.progress.jit_compile
    report = EpochReport(workdir, optimization.epochs, trainer, state, evaluation, examples)
    print(
        f"training {network.name} ({network.count_params():,} parameters) on {len(source.places):,} images with "
        f"{int(source.persons[source.places].sum()):,} persons, {steps} steps an epoch, "
        f"{strategy.num_replicas_in_sync} device(s)",
        flush=True,
    )
    batches, _ = batches_from(state.progress.step)
    loop = TrainingLoop(trainer, strategy, state, report)
    loop.run(batches, steps, optimization.epochs, Interval.of(config.run.checkpoint_every))
    best, last = workdir / "best.keras", workdir / "last.keras"
    warnings = tuple(filter(None, [reading.warning()]))
    return DetectorTrainingResult(best if best.exists() else last, report.rows, source.skipped, warnings)


def _persons(data: DetectorDataConfig, annotations: str, images: str) -> PersonSet | None:
    """All persons of a file, with or without labelled keypoints."""
    if not annotations:
        return None
    check_image_folder(images)
    return load_persons(
        annotations,
        COCO17,
        labelled_only=False,
        images=images,
        trust_keypoint_order=data.trust_keypoint_order,
        boxes_from_keypoints=data.boxes_from_keypoints,
        follow_paths=data.follow_paths,
    )


def _measure(network: keras.Model, persons: PersonSet, data: DetectorDataConfig) -> Callable[[], dict[str, float]]:
    detector = CenterDetector(network, DetectorConfig(detector="none", detector_threshold=EVALUATED_SCORE))

    def measure() -> dict[str, float]:
        """AP, and recall at a fixed number of false boxes; what score that takes is left in the network."""
        detections = detect_data_set(
            persons, data.validation_images, detector, data.skip_damaged, data.orientation, progress=False
        ).detections
        curve = recall_curve(persons, detections)
        threshold = min(1.0, curve.threshold(FALSE_BOXES))
        point = curve.at(threshold)
        set_threshold(network, threshold)
        figures = {"recall": point.recall, "recall_all": point.recall_all, "threshold": threshold}
        return box_average_precision(persons, detections) | figures

    return measure
