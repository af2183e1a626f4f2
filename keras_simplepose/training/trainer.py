"""Training from configurations to a folder of results."""

import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.config import AugmentationConfig, DetectorTrainingConfig, TrainingConfig
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.data.pipeline import ImageSource, PatchSource, training_dataset, validation_dataset
from keras_simplepose.evaluation.evaluator import evaluate_predictor
from keras_simplepose.models.folded_weights import is_folded, load_folded_weights
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.training.callbacks import EpochEvaluation, EpochReport
from keras_simplepose.training.checkpoints import Checkpoint, CheckpointFolder
from keras_simplepose.training.devices import check_agreement, is_chief, make_strategy
from keras_simplepose.training.jit import choose_jit
from keras_simplepose.training.loop import TrainingLoop
from keras_simplepose.training.network import build_network, load_teacher, matching_layers
from keras_simplepose.training.optimizers import PyTorchAdam
from keras_simplepose.training.run_options import Interval, check_options, options_of
from keras_simplepose.training.run_state import RunState, go_on, identity_of, locked
from keras_simplepose.training.schedule import TrainingSchedule
from keras_simplepose.training.sources import check_flags, damage_named, training_source, validation_source
from keras_simplepose.training.training_model import TrainingModel
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.signals import StopRequest
from keras_simplepose.utils.workers import Workers, lost_worker_named

ADAM_BETAS = (0.9, 0.999)  # Paper's release.
STATISTICS_CROPS = 512  # Training crops whose statistics batch normalisation begins with, where a file has none.


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves.

    Attributes:
        workdir: its folder: best.keras, last.keras, curves.csv, curves.png, evaluations.jsonl, examples.png, …
        model: the best model's file if AP was measured, else the last's.
        rows: the epochs' figures, as in curves.csv.
        skipped: damaged images passed over, with the reason.
        validation: the persons AP was measured on, if any.
        warnings: about images that carry an EXIF orientation.
    """

    workdir: Path
    model: Path
    rows: list[dict[str, float]]
    skipped: dict[str, str]
    validation: PersonSet | None
    warnings: tuple[str, ...] = ()


def train(config: TrainingConfig) -> TrainingResult:
    """Trains a pose network, or goes on with an interrupted run.

    Args:
        config: the run.

    Raises:
        UserError: a mistake in the configuration or the data, another process at work in the folder, a full disk, a
            loss that is not finite, or another worker that has ended.
        Interrupted: stopped by SIGINT or SIGTERM, after a checkpoint.
    """
    workdir = Path(config.run.workdir)
    with contextlib.ExitStack() as stack:
        if config.run.strategy == "multi_worker":
            stack.enter_context(lost_worker_named())
        if is_chief(config.run.strategy):
            stack.enter_context(locked(workdir))
            return _train(config, workdir)
        # Workers do all alike, since reading variables takes all of them, but only the chief's files are kept.
        return _train(config, Path(stack.enter_context(tempfile.TemporaryDirectory())))


def _train(config: TrainingConfig, workdir: Path) -> TrainingResult:
    """Trains in a folder, from the checkpoint in the run's own."""
    run, epochs, optimization = config.run, config.optimization.epochs, config.optimization
    strategy = make_strategy(run.strategy, optimization.batch_size, optimization.accumulation_steps)
    begun = checkpoint_to_go_on_from(CheckpointFolder(Path(run.workdir)), config)
    check_agreement(strategy, begun.step if begun else 0)
    keras.utils.set_random_seed(run.seed)
    checkpoints = CheckpointFolder(workdir, run.keep_checkpoints)
    with strategy.scope():
        network = build_network(config)
        teacher = load_teacher(optimization.teacher, pose_spec(network))
        trainer = TrainingModel(network, _half_body_minimum(config.augmentation), optimization, teacher)
    source = training_source(config, trainer.spec)
    validation = validation_source(config.data, trainer.spec)
    for each in filter(None, (source, validation)):
        check_flags(each, config, trainer.head)
    print(f"training annotations: {source.summary()}")
    if validation:
        print(f"validation annotations: {validation.summary()}")
    batches, steps = _training_batches(config, source)
    with strategy.scope():
        trainer.compile(optimizer=make_optimizer(config, steps, network))
        trainer.optimizer.build(network.trainable_variables)
    state = RunState(checkpoints, identity_of(config, steps, source, validation))
    if begun:
        state.progress = go_on(trainer, begun, state.identity, workdir, run.resume)
        print(f"going on after step {state.progress.step} of {steps * epochs}")
    is_served = bool(config.data.data_service)
    with damage_named(source, is_served=is_served):
        if state.progress.jit_compile is None:
            state.progress.jit_compile = choose_jit(config, trainer, batches, steps, strategy)
        examples = first_examples(batches, run.picture_count)
    if is_folded(config.model.backbone_weights) and not (begun or config.model.initial_model):
        with damage_named(source, is_served=is_served):
            print(load_folded_weights(network, config.model.backbone_weights, sample_crops(config, trainer, batches)))
    trainer.jit_compile = state.progress.jit_compile
    stop = StopRequest()
    evaluation = _evaluation(config, network, validation, Workers(strategy, stop.at_once))
    report = EpochReport(workdir, epochs, trainer, state, evaluation, examples)
    print(
        f"training {network.name} ({network.count_params():,} parameters) on {source.count} persons, "
        f"{steps} steps an epoch, {strategy.num_replicas_in_sync} device(s)",
        flush=True,
    )
    with damage_named(source, validation, is_served=is_served):
        batches, _ = _training_batches(config, source, state.progress.step)
        loop = TrainingLoop(trainer, strategy, state, report, stop)
        loop.run(batches, steps, epochs, Interval.of(run.checkpoint_every))
    return _result(workdir, report, source, validation)


def checkpoint_to_go_on_from(
    checkpoints: CheckpointFolder, config: TrainingConfig | DetectorTrainingConfig
) -> Checkpoint | None:
    """The newest whole checkpoint, its options checked; None for a new run.

    Raises:
        UserError: the run has other options, or is not to be gone on with.
    """
    if config.run.resume == "off" and checkpoints.paths():
        raise UserError(f"workdir {config.run.workdir} holds another run; choose a new folder, or turn resume on")
    if is_chief(config.run.strategy):
        checkpoints.clean()
    begun, faults = checkpoints.newest()
    if begun:
        check_options(config.run.workdir, begun.record["identity"]["options"], options_of(config), config.run.resume)
    for fault in faults:
        print(f"{fault}; going on from the one before", flush=True)
    return begun


def _training_batches(config: TrainingConfig, source: PatchSource, first_step: int = 0) -> tuple[tf.data.Dataset, int]:
    return training_dataset(
        source,
        config.optimization.batch_size,
        config.augmentation,
        config.run.seed,
        config.data.shuffle_buffer,
        first_step,
        config.data.data_service,
    )


def sample_crops(
    config: TrainingConfig | DetectorTrainingConfig, trainer: Any, batches: tf.data.Dataset
) -> list[np.ndarray]:
    """What a network is trained on, in batches, for the statistics of batch normalisation."""
    count = -(-STATISTICS_CROPS // config.optimization.batch_size)
    return [np.asarray(trainer.make_batch(batch)[0]) for batch in batches.take(count)]


def _result(workdir: Path, report: EpochReport, source: PatchSource, validation: ImageSource | None) -> TrainingResult:
    best = workdir / "best.keras"
    model = best if best.exists() else workdir / "last.keras"
    persons = None if validation is None else validation.persons
    warnings = [each.reading.warning() for each in (source, validation) if isinstance(each, ImageSource)]
    return TrainingResult(workdir, model, report.rows, dict(source.skipped), persons, tuple(filter(None, warnings)))


def make_optimizer(
    config: TrainingConfig | DetectorTrainingConfig, steps_per_epoch: int, network: keras.Model | None = None
) -> keras.optimizers.Optimizer:
    """The release's Adam with the run's schedule and additions; with loss scaling where float16 needs it.

    Args:
        config: the run.
        steps_per_epoch: for the schedule.
        network: to leave norms and biases out of weight decay, and for layers with learning rates of their own.

    Raises:
        UserError: learning_rate_factors that are none, or fit no layer.
    """
    optimization = config.optimization
    ema_decay = config.optimization.ema_decay if isinstance(config, TrainingConfig) else 0.0
    optimizer = PyTorchAdam(
        TrainingSchedule.from_config_and_steps(optimization, steps_per_epoch),
        *ADAM_BETAS,
        epsilon=optimization.adam_epsilon,
        weight_decay=optimization.weight_decay or None,
        global_clipnorm=optimization.gradient_clip_norm or None,
        use_ema=ema_decay > 0,
        ema_momentum=ema_decay,
    )
    if network is not None:
        # Norms' scales and shifts, and biases: all that has one axis.
        optimizer.exclude_from_weight_decay([value for value in network.variables if len(value.shape) <= 1])
        for pattern, factor in _rate_factors(optimization.learning_rate_factors):
            for layer in matching_layers(network, pattern, "learning_rate_factors"):
                optimizer.multiply_rates(layer.variables, factor)
    if config.run.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _rate_factors(texts: Sequence[str]) -> Iterator[tuple[str, float]]:
    """(pattern, factor) of each NAME:FACTOR."""
    for text in texts:
        pattern, _, number = text.rpartition(":")
        try:
            factor = float(number)
        except ValueError:
            factor = math.nan
        if not pattern or not 0 < factor < math.inf:
            raise UserError(f"learning_rate_factors: {text!r} is no NAME:FACTOR with a factor greater than 0")
        yield pattern, factor


def _evaluation(
    config: TrainingConfig, network: keras.Model, source: ImageSource | None, workers: Workers
) -> EpochEvaluation | None:
    if source is None:
        return None
    predictor = PosePredictor.from_model(network, config.evaluation)

    def average_precision() -> dict[str, float]:
        skip = config.data.skip_damaged
        return evaluate_predictor(
            predictor,
            source.persons,
            source.folder,
            config=config.evaluation,
            progress=False,
            skip_damaged=skip,
            orientation=config.data.orientation,
            workers=workers,
        ).metrics

    batch_size = config.evaluation.evaluation_batch_size
    return EpochEvaluation(validation_dataset(source, batch_size), average_precision, config.run.evaluate_every)


def _half_body_minimum(augmentation: AugmentationConfig) -> int:
    return augmentation.half_body_minimum if augmentation.half_body_probability > 0 else 0


def first_examples(batches: tf.data.Dataset, count: int) -> dict[str, Any] | None:
    """So many of the first batch, to be drawn; None for none."""
    if not count:
        return None
    batch = next(iter(batches))
    return {name: value[:count] for name, value in batch.items()}
